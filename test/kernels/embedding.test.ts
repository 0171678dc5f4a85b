import { describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { fromArray, type Tensor } from "../../src/gpu/tensor.ts";
import { zeros } from "../../src/kernels/elementwise.ts";
import { embedding, embeddingBackward } from "../../src/kernels/embedding.ts";
import { decodeBf16, decodeF16, encodeBf16, encodeF16 } from "../../src/util/half.ts";
import { embeddingReference } from "../reference/embedding.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { floats, testDevice } from "../support/device.ts";

const cases = [
  { vocab: 1, cols: 1, tokens: 1 },
  { vocab: 7, cols: 3, tokens: 5 },
  { vocab: 10, cols: 127, tokens: 3 },
  { vocab: 5, cols: 123, tokens: 9 },
  { vocab: 300, cols: 32, tokens: 200, limitBytes: 10_000 },
];

describe.each(cases)(
  "embedding $vocab×$cols tokens $tokens limit $limitBytes",
  ({ vocab, cols, tokens, limitBytes }) => {
    const table = randomValues(vocab * cols, 1);
    const ids = randomValues(tokens, 2).map((v) => Math.floor(Math.abs(v) * 1e6) % vocab);
    const dy = randomValues(tokens * cols, 3);

    test.each(["f32", "bf16", "f16"] as const)("forward from %s", async (dtype) => {
      const device = await testDevice();
      const { tensor, values } = stored(device, table, [vocab, cols], dtype);
      const y = embedding(tensor, fromArray(device, Int32Array.from(ids), [tokens]), limitBytes);
      expect(await y.read()).toBeClose(embeddingReference(values, ids, cols), 1e-7);
    });

    test("backward", async () => {
      const device = await testDevice();
      const I = fromArray(device, Uint32Array.from(ids), [tokens]);
      const dY = floats(device, dy, [tokens, cols]);
      const dtable = embeddingBackward(dY, I, vocab, undefined, limitBytes);
      const wanted = columnwiseDifferences(table, { ids, cols, dy });
      expect(await dtable.read()).toBeClose(wanted, 1e-5);
      const twice = embeddingBackward(dY, I, vocab, dtable, limitBytes);
      expect(await twice.read()).toBeClose(
        wanted.map((g) => 2 * g),
        1e-5,
      );
    });
  },
);

test("ids outside the table give zeros and no gradient", async () => {
  const device = await testDevice();
  const ids = fromArray(device, Int32Array.of(-1, 1, 2), [3]);
  const y = embedding(floats(device, [1, 2], [2, 1]), ids);
  expect([...(await y.read())]).toEqual([0, 2, 0]);
  const dtable = embeddingBackward(floats(device, [5, 6, 7], [3, 1]), ids, 2, zeros(device, [2, 1]));
  expect([...(await dtable.read())]).toEqual([0, 6]);
});

/** A tensor in a storage format, and the values that it really holds. */
function stored(
  device: Device,
  values: Float64Array,
  shape: readonly number[],
  dtype: "f32" | "bf16" | "f16",
): { tensor: Tensor; values: ArrayLike<number> } {
  const f32 = Float32Array.from(values);
  if (dtype === "f32") return { tensor: fromArray(device, f32, shape), values };
  const codes = dtype === "bf16" ? encodeBf16(f32) : encodeF16(f32);
  const decoded = dtype === "bf16" ? decodeBf16(codes) : decodeF16(codes);
  return { tensor: fromArray(device, codes, shape, dtype), values: decoded };
}

/** Columns do not mix: differences of one column at a time keep 300 × 32 entries cheap. */
function columnwiseDifferences(
  table: Float64Array,
  { ids, cols, dy }: { ids: Float64Array; cols: number; dy: Float64Array },
): Float64Array {
  const gradient = new Float64Array(table.length);
  for (let c = 0; c < cols; c++) {
    const column = (values: Float64Array) =>
      Float64Array.from({ length: values.length / cols }, (_, row) => values[row * cols + c]!);
    const wanted = centralDifferences((v) => embeddingReference(v, ids, 1), column(table), column(dy));
    wanted.forEach((value, row) => {
      gradient[row * cols + c] = value;
    });
  }
  return gradient;
}
