/** Parameters and moments, updated in place. */
export interface AdamWState {
  p: Float64Array;
  m: Float64Array;
  v: Float64Array;
}

/** One step of torch.optim.AdamW (`_single_tensor_adamw`) in f64. */
export function adamWReference(
  { p, m, v }: AdamWState,
  gradients: ArrayLike<number>,
  o: { learningRate: number; beta1: number; beta2: number; eps: number; weightDecay: number; step: number },
): void {
  const stepSize = o.learningRate / (1 - o.beta1 ** o.step);
  const rootCorrection = Math.sqrt(1 - o.beta2 ** o.step);
  for (let i = 0; i < p.length; i++) {
    const g = gradients[i] as number;
    p[i]! *= 1 - o.learningRate * o.weightDecay;
    m[i]! += (g - m[i]!) * (1 - o.beta1);
    v[i] = o.beta2 * v[i]! + (1 - o.beta2) * g * g;
    p[i]! -= (stepSize * m[i]!) / (Math.sqrt(v[i]!) / rootCorrection + o.eps);
  }
}
