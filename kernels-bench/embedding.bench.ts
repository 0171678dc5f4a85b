import type { Device } from "../src/gpu/device.ts";
import { fromArray } from "../src/gpu/tensor.ts";
import { embedding, embeddingBackward } from "../src/kernels/embedding.ts";
import { decodeBf16, encodeBf16 } from "../src/util/half.ts";
import { embeddingReference } from "../test/reference/embedding.ts";
import { type BenchCase, indicesOfRows, repeatedValues, sized, spread, tile } from "./harness.ts";

interface Size {
  tokens: number;
  vocab: number;
  cols: number;
}

const label = ({ tokens, vocab, cols }: Size) => `T${tokens} V${vocab} K${cols}`;
const idsOf = ({ tokens, vocab }: Size) => Int32Array.from({ length: tokens }, (_, n) => (n * 7919) % vocab);

function gather(size: Size): BenchCase {
  const { tokens, vocab, cols } = size;
  const setup = (device: Device) => {
    const block = encodeBf16(repeatedValues(65_521, 1));
    const codes = tile(block, new Uint16Array(vocab * cols));
    const ids = idsOf(size);
    const table = fromArray(device, codes, [vocab, cols], "bf16");
    const I = fromArray(device, ids, [tokens]);
    return {
      run: () => embedding(table, I),
      reference: () => {
        const sample = spread(tokens, 8);
        const values = sample.flatMap((n) => {
          const row = codes.subarray((ids[n] as number) * cols, ((ids[n] as number) + 1) * cols);
          return [...embeddingReference(decodeBf16(row), [0], cols)];
        });
        return { at: indicesOfRows(sample, cols), values };
      },
      bytes: 6 * tokens * cols,
    };
  };
  return sized("embedding forward bf16", label(size), tokens * cols, setup);
}

/** Every other token occurs twice, so that rows are summed. */
function scatter(size: Size): BenchCase {
  const { tokens, vocab, cols } = size;
  return sized("embedding backward", label(size), tokens * cols, (device) => {
    const ids = idsOf(size).map((id, n) => (n % 2 === 1 ? ((n - 1) * 7919) % vocab : id));
    const dy = repeatedValues(tokens * cols, 2);
    const dY = fromArray(device, dy, [tokens, cols]);
    const I = fromArray(device, ids, [tokens]);
    return {
      run: () => embeddingBackward(dY, I, vocab),
      reference: () => {
        const rows = spread(tokens, 8).map((n) => ids[n] as number);
        const values = rows.flatMap((row) => sumRows(dy, ids, row, cols));
        return { at: indicesOfRows(rows, cols), values };
      },
      bytes: 4 * tokens * cols + 4 * vocab * cols,
    };
  });
}

function sumRows(dy: ArrayLike<number>, ids: Int32Array, row: number, cols: number): number[] {
  const sums = new Array<number>(cols).fill(0);
  for (const [n, id] of ids.entries()) {
    if (id === row) for (let i = 0; i < cols; i++) sums[i]! += dy[n * cols + i] as number;
  }
  return sums;
}

export const cases: BenchCase[] = [
  gather({ tokens: 128, vocab: 32_000, cols: 576 }),
  gather({ tokens: 2048, vocab: 32_000, cols: 576 }),
  gather({ tokens: 2048, vocab: 151_936, cols: 896 }),
  scatter({ tokens: 128, vocab: 1024, cols: 256 }),
  scatter({ tokens: 512, vocab: 32_000, cols: 576 }),
];
