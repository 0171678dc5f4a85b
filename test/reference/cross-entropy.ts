/**
 * logsumexp(s) − s[label] of each row in f64, 0 for negative labels;
 * s = cap · tanh(logits / cap) where there is a cap.
 */
export function crossEntropyReference(
  logits: ArrayLike<number>,
  labels: ArrayLike<number>,
  softcap = 0,
  { labelSmoothing = 0, zLoss = 0 } = {},
): Float64Array {
  const cols = logits.length / labels.length;
  return Float64Array.from(labels, (label, row) => {
    if (label < 0) return 0;
    const scores = Array.from({ length: cols }, (_, i) => {
      const logit = logits[row * cols + i] as number;
      return softcap === 0 ? logit : softcap * Math.tanh(logit / softcap);
    });
    const top = scores.reduce((a, b) => Math.max(a, b));
    const sum = scores.reduce((total, s) => total + Math.exp(s - top), 0);
    const lse = top + Math.log(sum);
    const mean = scores.reduce((total, s) => total + s, 0) / cols;
    const labelled = (1 - labelSmoothing) * (scores[label] as number) + labelSmoothing * mean;
    return lse - labelled + zLoss * lse * lse;
  });
}
