/** AdaLoRA's averages after one more step, in f64: as PEFT's `RankAllocator.update_ipt`. */
export function importanceReference(
  before: { sensitivity: ArrayLike<number>; uncertainty: ArrayLike<number> },
  p: ArrayLike<number>,
  gradient: ArrayLike<number>,
  { factor, beta1, beta2 }: { factor: number; beta1: number; beta2: number },
): { sensitivity: Float64Array; uncertainty: Float64Array } {
  const change = Float64Array.from(p, (value, i) => Math.abs(value * factor * gradient[i]!));
  const sensitivity = change.map((value, i) => beta1 * before.sensitivity[i]! + (1 - beta1) * value);
  const uncertainty = change.map(
    (value, i) => beta2 * before.uncertainty[i]! + (1 - beta2) * Math.abs(value - sensitivity[i]!),
  );
  return { sensitivity, uncertainty };
}

/** Scores of a site's triplets, of element scores of A `[rank, inputs]`, B `[outputs, rank]` and E `[rank]`. */
export function scoresReference(
  A: ArrayLike<number>,
  B: ArrayLike<number>,
  E: ArrayLike<number>,
): Float64Array {
  const rank = E.length;
  const [inputs, outputs] = [A.length / rank, B.length / rank];
  return Float64Array.from(E, (score, i) => {
    let [a, b] = [0, 0];
    for (let k = 0; k < inputs; k++) a += A[i * inputs + k]!;
    for (let k = 0; k < outputs; k++) b += B[k * rank + i]!;
    return score + a / inputs + b / outputs;
  });
}
