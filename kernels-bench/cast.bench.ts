import { fromArray } from "../src/gpu/tensor.ts";
import { castToFloat } from "../src/kernels/cast.ts";
import { encodeBf16, encodeF16 } from "../src/util/half.ts";
import { castReference } from "../test/reference/cast.ts";
import { type BenchCase, MOST_ELEMENTS, pick, repeatedValues, sized, spread } from "./harness.ts";

function toFloat(count: number, dtype: "bf16" | "f16"): BenchCase {
  return sized(`cast from ${dtype}`, `P${count}`, count, (device) => {
    const x = repeatedValues(count, 1);
    const encode = dtype === "bf16" ? encodeBf16 : encodeF16;
    const words = fromArray(device, encode(Float32Array.from(x)), [count], dtype);
    return {
      run: () => castToFloat(words),
      reference: () => {
        const at = spread(count, MOST_ELEMENTS);
        return { at, values: castReference(pick(x, at), dtype) };
      },
      bytes: 6 * count,
    };
  });
}

const sizes = [2 ** 20, 2 ** 22, 2 ** 24];

export const cases: BenchCase[] = (["bf16", "f16"] as const).flatMap((dtype) =>
  sizes.map((size) => toFloat(size, dtype)),
);
