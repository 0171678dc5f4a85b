/** √(Σ g²) and min(1, maxNorm / (norm + 1e-6)) in f64; no clipping where maxNorm is 0. */
export function gradientNormReference(
  gradients: ArrayLike<number>,
  maxNorm: number,
): [norm: number, clip: number] {
  let sum = 0;
  for (let i = 0; i < gradients.length; i++) sum += (gradients[i] as number) ** 2;
  const norm = Math.sqrt(sum);
  return [norm, maxNorm > 0 ? Math.min(1, maxNorm / (norm + 1e-6)) : 1];
}
