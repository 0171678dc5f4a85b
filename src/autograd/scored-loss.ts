import { fromArray, scoped, type Tensor } from "../gpu/tensor.ts";
import type { LossShape } from "../kernels/cross-entropy.ts";
import { addInto, zeros } from "../kernels/elementwise.ts";
import { gatherRows, scatterRows } from "../kernels/rows.ts";
import { checkLabels, chunkRows, LOGIT_BYTES, softmaxCrossEntropy, type Targets } from "./loss.ts";
import { passOnTimes, type Tape } from "./tape.ts";

/** Options of {@link scoredCrossEntropy}. */
export interface ScoredLossOptions extends LossShape {
  /** Scores of a row. */
  classes: number;
  /** Soft cap of the scores; 0, the default: none. */
  logitSoftcap?: number;
  /** Most bytes of scores at a time; tests lower it. */
  logitBytes?: number;
}

/**
 * `linearCrossEntropy` for an output layer that is more than a matrix, such as one with an adapter around it: the sum of
 * −log softmax(scores)[label] over the labelled positions. They pass it in chunks, and each goes back through it at once, so
 * that all scores never exist together: what is left of a chunk are its rows' gradients and its part of the parameters'.
 * @param hidden `[..., d]`
 * @param scoresOf rows `[M, d]` → scores `[M, classes]`, recorded on the given tape
 * @returns a scalar `[1]`: the sum, not the mean
 */
export function scoredCrossEntropy(
  tape: Tape | undefined,
  hidden: Tensor,
  { positions, labels }: Targets,
  scoresOf: (rows: Tensor, tape: Tape | undefined) => Tensor,
  { classes, logitBytes = LOGIT_BYTES, ...shape }: ScoredLossOptions,
): Tensor {
  const { device } = hidden;
  checkLabels("scoredCrossEntropy", labels, classes);
  const total = zeros(device, [1]);
  const chunk = chunkRows(classes, logitBytes);
  const dRows: { index: Tensor; dy: Tensor }[] = [];
  /** Of everything but the rows that the scores depend on. */
  const sums = new Map<Tensor, Tensor>();
  for (let start = 0; start < labels.length; start += chunk) {
    const end = Math.min(start + chunk, labels.length);
    const index = fromArray(device, positions.slice(start, end), [end - start]);
    scoped(device, () => {
      const rows = gatherRows(hidden, index);
      const inner = tape?.apart();
      if (tape?.tracks(hidden)) inner?.watch(rows);
      const scores = scoresOf(rows, inner);
      const loss = softmaxCrossEntropy(inner, scores, labels.slice(start, end), shape);
      addInto(total, loss);
      if (!inner || inner.length === 0) return [];
      const gradients = inner.backward(loss, undefined, sums);
      const dy = gradients.get(rows.source);
      if (dy) dRows.push({ index, dy });
      gradients.delete(rows.source);
      for (const [leaf, gradient] of gradients) sums.set(leaf, gradient);
      return [...(dy ? [dy] : []), ...gradients.values()];
    });
  }
  const saved = [...dRows.flatMap(({ index, dy }) => [index, dy]), ...sums.values()];
  return (
    tape?.record(total, [hidden, ...sums.keys()], saved, (dy, give) => {
      give(hidden, (into) => {
        let sum = into;
        for (const part of dRows) {
          sum = scatterRows(passOnTimes(part.dy, dy, undefined), part.index, hidden.rows, sum);
        }
        return (sum as Tensor).reshape(hidden.shape);
      });
      for (const [leaf, gradient] of sums) give(leaf, (into) => passOnTimes(gradient, dy, into));
    }) ?? total
  );
}
