import type { Layout } from "../../src/kernels/matmul.ts";

/** op(A) op(B) in f64; A is stored [k, m] for TN and B [n, k] for NT. */
export function matmulReference(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  { m, n, k, layout }: { m: number; n: number; k: number; layout: Layout },
): Float64Array {
  const c = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let p = 0; p < k; p++) {
        const left = layout === "TN" ? a[p * m + i] : a[i * k + p];
        const right = layout === "NT" ? b[j * k + p] : b[p * n + j];
        sum += (left as number) * (right as number);
      }
      c[i * n + j] = sum;
    }
  }
  return c;
}
