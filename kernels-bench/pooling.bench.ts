import { fromArray, type Tensor } from "../src/gpu/tensor.ts";
import { maxPool, meanPool } from "../src/kernels/pooling.ts";
import { randomValues } from "../test/reference/gradient.ts";
import { maxPoolReference, meanPoolReference } from "../test/reference/pooling.ts";
import { type BenchCase, sized } from "./harness.ts";

const OPS = {
  mean: { run: (x: Tensor, documents: Tensor) => meanPool(x, documents), reference: meanPoolReference },
  max: { run: maxPool, reference: maxPoolReference },
};

function pooled(op: keyof typeof OPS, batch: number, tokens: number, cols: number): BenchCase {
  return sized(`pooling ${op}`, `B${batch} T${tokens} K${cols}`, batch * tokens * cols, (device) => {
    const x = randomValues(batch * tokens * cols, 1);
    const ranges = Array.from({ length: batch }, (_, b) => [b * tokens, 1 + ((7 * b) % tokens)] as const);
    const X = fromArray(device, Float32Array.from(x), [batch, tokens, cols]);
    const documents = fromArray(device, Uint32Array.from(ranges.flat()), [batch, 2]);
    return {
      run: () => OPS[op].run(X, documents),
      reference: () => OPS[op].reference(x, cols, ranges),
      bytes: 4 * cols * (ranges.reduce((sum, [, count]) => sum + count, 0) + batch),
    };
  });
}

export const cases: BenchCase[] = [
  pooled("mean", 16, 128, 384),
  pooled("mean", 64, 256, 768),
  pooled("max", 16, 128, 384),
];
