import { fromArray, type Tensor } from "../src/gpu/tensor.ts";
import { maxPool, meanPool } from "../src/kernels/pooling.ts";
import { randomValues } from "../test/reference/gradient.ts";
import { maxPoolReference, meanPoolReference } from "../test/reference/pooling.ts";
import { type BenchCase, sized } from "./harness.ts";

const OPS = {
  mean: { run: (x: Tensor, lengths: Tensor) => meanPool(x, { lengths }), reference: meanPoolReference },
  max: { run: maxPool, reference: maxPoolReference },
};

function pooled(op: keyof typeof OPS, batch: number, tokens: number, cols: number): BenchCase {
  return sized(`pooling ${op}`, `B${batch} T${tokens} K${cols}`, batch * tokens * cols, (device) => {
    const x = randomValues(batch * tokens * cols, 1);
    const lengths = Array.from({ length: batch }, (_, b) => 1 + ((7 * b) % tokens));
    const X = fromArray(device, Float32Array.from(x), [batch, tokens, cols]);
    const valid = fromArray(device, Uint32Array.from(lengths), [batch]);
    return {
      run: () => OPS[op].run(X, valid),
      reference: () => OPS[op].reference(x, [batch, tokens, cols], lengths),
      bytes: 4 * cols * (lengths.reduce((a, b) => a + b) + batch),
    };
  });
}

export const cases: BenchCase[] = [
  pooled("mean", 16, 128, 384),
  pooled("mean", 64, 256, 768),
  pooled("max", 16, 128, 384),
];
