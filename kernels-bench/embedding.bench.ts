import { fromArray } from "../src/gpu/tensor.ts";
import { embedding } from "../src/kernels/embedding.ts";
import { decodeBf16, encodeBf16 } from "../src/util/half.ts";
import { embeddingReference } from "../test/reference/embedding.ts";
import { randomValues } from "../test/reference/gradient.ts";
import type { BenchCase } from "./harness.ts";

function gather(tokens: number, vocab: number, cols: number): BenchCase {
  return {
    name: `embedding bf16 ${tokens} of ${vocab}×${cols}`,
    setup(device) {
      const codes = encodeBf16(Float32Array.from(randomValues(vocab * cols, 1)));
      const ids = Int32Array.from({ length: tokens }, (_, n) => (n * 7919) % vocab);
      const table = fromArray(device, codes, [vocab, cols], "bf16");
      const I = fromArray(device, ids, [tokens]);
      return {
        run: () => embedding(table, I),
        reference: () => embeddingReference(decodeBf16(codes), ids, cols),
        bytes: 6 * tokens * cols,
      };
    },
  };
}

export const cases: BenchCase[] = [gather(128, 4096, 576), gather(2048, 8192, 576)];
