import { fromArray, type Tensor } from "../src/gpu/tensor.ts";
import { castToFloat } from "../src/kernels/cast.ts";
import { decodingOf, type WeightFormat } from "../src/kernels/formats.ts";
import { Quantiser } from "../src/kernels/quantise.ts";
import { emptyWeight, type QuantisedWeight } from "../src/kernels/weight.ts";
import { decodeBf16, encodeBf16 } from "../src/util/half.ts";
import { quantiseReference } from "../test/reference/quantise.ts";
import { type BenchCase, repeatedValues, sized, spread } from "./harness.ts";

/** A bf16 matrix of a checkpoint in fewer bits, and back: what loading and merging it costs. */
function roundTrip(format: WeightFormat, block: number, count: number): BenchCase {
  return sized(`quantise ${format}`, `P${count}`, count, (device) => {
    const codes = encodeBf16(repeatedValues(count, 1));
    const values = fromArray(device, codes, [count], "bf16");
    const weight = emptyWeight(
      device,
      [count / block, block],
      decodingOf(format, { block }),
    ) as QuantisedWeight;
    const quantiser = new Quantiser(weight);
    const run = (): Tensor => {
      quantiser.add(values, 0);
      return castToFloat(weight);
    };
    return {
      run,
      reference: () => {
        const blocks = spread(count / block, 8);
        const at = blocks.flatMap((i) => Array.from({ length: block }, (_, j) => i * block + j));
        const own = Float32Array.from(at, (i) => codes[i] as number);
        return { at, values: [...quantiseReference(decodeBf16(Uint16Array.from(own)), { format, block })] };
      },
      bytes: 6 * count,
    };
  });
}

export const cases: BenchCase[] = [2 ** 20, 2 ** 24].flatMap((count) => [
  roundTrip("nf4", 64, count),
  roundTrip("int8", 128, count),
]);
