import { fromArray } from "../src/gpu/tensor.ts";
import { crossEntropy } from "../src/kernels/cross-entropy.ts";
import { crossEntropyReference } from "../test/reference/cross-entropy.ts";
import { randomValues } from "../test/reference/gradient.ts";
import type { BenchCase } from "./harness.ts";

/** Repeated runs with a gradient overwrite their own logits: the work is the same, only the first loss is compared. */
function losses(rows: number, vocab: number, scale?: number): BenchCase {
  return {
    name: `cross-entropy ${scale ? "with gradient" : "loss only"} ${rows}×${vocab}`,
    setup(device) {
      const logits = randomValues(rows * vocab, 1);
      const labels = Int32Array.from({ length: rows }, (_, row) => (row * 7919) % vocab);
      const X = fromArray(device, Float32Array.from(logits), [rows, vocab]);
      const L = fromArray(device, labels, [rows]);
      return {
        run: () => crossEntropy(X, L, scale ? { scale } : {}),
        reference: () => crossEntropyReference(logits, labels),
        bytes: (scale ? 12 : 4) * rows * vocab,
      };
    },
  };
}

export const cases: BenchCase[] = [
  losses(64, 49_152),
  losses(64, 49_152, 1 / 64),
  losses(16, 151_936, 1 / 16),
];
