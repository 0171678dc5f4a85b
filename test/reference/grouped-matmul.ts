/** Sizes of a grouped product, and which expert each of its rows goes through. */
export interface GroupedProblem {
  n: number;
  k: number;
  /** Choices that read the same row of A. */
  per: number;
  layout: "NT" | "NN";
  choices: ArrayLike<number>;
  bias?: ArrayLike<number> | undefined;
}

/** C[r] = A[⌊r / per⌋] op(B_e) + bias_e in f64. */
export function groupedReference(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  { n, k, per, layout, choices, bias }: GroupedProblem,
): Float64Array {
  const c = new Float64Array(choices.length * n);
  for (let r = 0; r < choices.length; r++) {
    const expert = choices[r] as number;
    for (let j = 0; j < n; j++) {
      let sum = (bias?.[expert * n + j] as number | undefined) ?? 0;
      for (let p = 0; p < k; p++) {
        const at = expert * n * k + (layout === "NT" ? j * k + p : p * n + j);
        sum += (a[Math.floor(r / per) * k + p] as number) * (b[at] as number);
      }
      c[r * n + j] = sum;
    }
  }
  return c;
}
