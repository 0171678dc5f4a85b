import { fromArray } from "../src/gpu/tensor.ts";
import { segmentSpread, segmentSums } from "../src/kernels/segments.ts";
import { segmentSumsReference } from "../test/reference/segments.ts";
import { type BenchCase, repeatedValues, sized } from "./harness.ts";

/** Answers of equal length, as of a batch of preferences. */
function both(answers: number, length: number): BenchCase {
  const count = answers * length;
  return sized("segment sums and spread", `${answers} of ${length}`, count, (device) => {
    const values = repeatedValues(count, 1);
    const factors = repeatedValues(answers, 2);
    const ranges = Array.from({ length: answers }, (_, i) => [i * length, (i + 1) * length] as const);
    const x = { values: fromArray(device, values, [count]), start: 0 };
    const segments = {
      ranges: fromArray(device, Uint32Array.from(ranges.flat()), [answers, 2]),
      factors: fromArray(device, factors, [answers]),
    };
    return {
      run: () => {
        const sums = segmentSums(x, segments);
        return [sums, segmentSpread(segments.factors, { start: 0, count }, segments)];
      },
      reference: () => [
        segmentSumsReference(values, ranges, factors),
        Float64Array.from({ length: count }, (_, i) => (factors[Math.floor(i / length)] as number) ** 2),
      ],
      flops: 2 * count,
      bytes: 8 * count,
    };
  });
}

export const cases: BenchCase[] = [both(8, 64), both(16, 512)];
