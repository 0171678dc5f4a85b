/** One step of Lion in f64, in place: algorithm 2 of arXiv 2302.06675. */
export function lionReference(
  p: Float64Array,
  m: Float64Array,
  gradients: ArrayLike<number>,
  o: { learningRate: number; beta1: number; beta2: number; weightDecay: number },
): void {
  for (let i = 0; i < p.length; i++) {
    const g = gradients[i] as number;
    const update = Math.sign(o.beta1 * m[i]! + (1 - o.beta1) * g);
    p[i]! -= o.learningRate * (update + o.weightDecay * p[i]!);
    m[i] = o.beta2 * m[i]! + (1 - o.beta2) * g;
  }
}
