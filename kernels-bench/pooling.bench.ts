import { fromArray } from "../src/gpu/tensor.ts";
import { meanPool } from "../src/kernels/pooling.ts";
import { randomValues } from "../test/reference/gradient.ts";
import { meanPoolReference } from "../test/reference/pooling.ts";
import { type BenchCase, sized } from "./harness.ts";

function mean(batch: number, tokens: number, cols: number): BenchCase {
  return sized("pooling mean", `B${batch} T${tokens} K${cols}`, batch * tokens * cols, (device) => {
    const x = randomValues(batch * tokens * cols, 1);
    const lengths = Array.from({ length: batch }, (_, b) => 1 + ((7 * b) % tokens));
    const X = fromArray(device, Float32Array.from(x), [batch, tokens, cols]);
    const valid = fromArray(device, Uint32Array.from(lengths), [batch]);
    return {
      run: () => meanPool(X, valid),
      reference: () => meanPoolReference(x, [batch, tokens, cols], lengths),
      bytes: 4 * cols * (lengths.reduce((a, b) => a + b) + batch),
    };
  });
}

export const cases: BenchCase[] = [mean(16, 128, 384), mean(64, 256, 768)];
