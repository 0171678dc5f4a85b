import { fromArray } from "../src/gpu/tensor.ts";
import { castToFloat, castToWords } from "../src/kernels/cast.ts";
import { castReference } from "../test/reference/cast.ts";
import { type BenchCase, MOST_ELEMENTS, pick, repeatedValues, sized, spread } from "./harness.ts";

function toWords(count: number, dtype: "bf16" | "f16"): BenchCase {
  return sized(`cast to ${dtype}`, `P${count}`, count, (device) => {
    const x = repeatedValues(count, 1);
    const X = fromArray(device, x, [count]);
    return {
      run: () => castToWords(X, dtype),
      reference: () => {
        const at = spread(count, MOST_ELEMENTS);
        return { at, values: castReference(pick(x, at), dtype) };
      },
      bytes: 6 * count,
    };
  });
}

function toFloat(count: number, dtype: "bf16" | "f16"): BenchCase {
  return sized(`cast from ${dtype}`, `P${count}`, count, (device) => {
    const x = repeatedValues(count, 1);
    const words = castToWords(fromArray(device, x, [count]), dtype);
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

export const cases: BenchCase[] = (["bf16", "f16"] as const).flatMap((dtype) => [
  ...sizes.map((size) => toWords(size, dtype)),
  ...sizes.map((size) => toFloat(size, dtype)),
]);
