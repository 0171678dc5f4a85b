/** One step of torch.optim.SGD (`_single_tensor_sgd`) in f64, in place. */
export function sgdReference(
  p: Float64Array,
  m: Float64Array,
  gradients: ArrayLike<number>,
  o: { learningRate: number; momentum: number; nesterov: boolean; weightDecay: number },
): void {
  for (let i = 0; i < p.length; i++) {
    const g = (gradients[i] as number) + o.weightDecay * p[i]!;
    m[i] = o.momentum * m[i]! + g;
    p[i]! -= o.learningRate * (o.nesterov ? g + o.momentum * m[i]! : m[i]!);
  }
}
