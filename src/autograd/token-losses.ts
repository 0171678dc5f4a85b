import { empty, fromArray, type Tensor } from "../gpu/tensor.ts";
import { crossEntropy } from "../kernels/cross-entropy.ts";
import { fill, softcap, zeros } from "../kernels/elementwise.ts";
import { matmul } from "../kernels/matmul.ts";
import { type Segments, segmentSpread, segmentSums, type ValueWindow } from "../kernels/segments.ts";
import { checkLabels, chunkRows, LOGIT_BYTES, type Targets } from "./loss.ts";
import * as ops from "./ops.ts";
import { passOn, Tape } from "./tape.ts";

/** Options of {@link tokenLosses}. */
export interface TokenLossOptions {
  /** Scores of a row. */
  classes: number;
  /** Soft cap of the scores; 0, the default: none. */
  logitSoftcap?: number;
  /** Most bytes of scores at a time; tests lower it. */
  logitBytes?: number;
  /** Where each row's mean score goes, `[M]`; it is not computed unless given. */
  means?: Tensor | undefined;
}

/**
 * −log softmax(scores)[label] of each labelled position. They pass the output layer in chunks, which are computed again in the
 * backward pass: how much each counts is known there alone, and all scores never exist together.
 * @param hidden `[..., d]`
 * @param scoresOf rows `[n, d]` → scores `[n, classes]`, recorded on the given tape; what they are capped by is left to this op
 * @returns f32 windows of the M positions, in order
 */
export function tokenLosses(
  tape: Tape | undefined,
  hidden: Tensor,
  { positions, labels }: Targets,
  scoresOf: (rows: Tensor, tape: Tape | undefined) => Tensor,
  { classes, logitSoftcap = 0, logitBytes = LOGIT_BYTES, means }: TokenLossOptions,
): ValueWindow[] {
  const { device } = hidden;
  checkLabels("tokenLosses", labels, classes);
  const chunk = chunkRows(classes, logitBytes);
  const windows: ValueWindow[] = [];
  for (let start = 0; start < labels.length; start += chunk) {
    const end = Math.min(start + chunk, labels.length);
    const index = fromArray(device, positions.slice(start, end), [end - start]);
    const wanted = fromArray(device, labels.slice(start, end), [end - start]);
    let into = means?.slice(start, end);
    const lossesOf = (tape: Tape | undefined, hidden: Tensor) => {
      const scores = scoresOf(ops.gatherRows(tape, hidden, index), tape);
      if (into) rowMeans(logitSoftcap === 0 ? scores : softcap(scores, logitSoftcap), into);
      into = undefined; // not once more in the backward pass
      return rowLosses(tape, scores, wanted, logitSoftcap);
    };
    const values = (tape ?? new Tape()).checkpoint(hidden, lossesOf);
    windows.push({ values, start });
  }
  return windows;
}

/** Each row's −log softmax(scores)[label], `[n]`. Where a gradient comes, the scores are **overwritten** by theirs. */
function rowLosses(tape: Tape | undefined, scores: Tensor, labels: Tensor, softcap: number): Tensor {
  const losses = crossEntropy(scores, labels, { softcap });
  return (
    tape?.record(losses, [scores], [scores, labels], (dy, give) => {
      give(scores, (into) => {
        crossEntropy(scores, labels, { softcap, scale: 1, weights: dy });
        return passOn(scores, into);
      });
    }) ?? losses
  );
}

/** The mean of each row of x `[n, cols]`, written to `out` `[n]`. */
function rowMeans(x: Tensor, out: Tensor): void {
  const ones = fill(empty(x.device, [1, x.columns]), 1);
  const column = { of: out.reshape([x.rows, 1]), first: 0, count: 1 };
  matmul(x, ones, { layout: "NT", alpha: 1 / x.columns, out: column });
}

/** factor · Σ of the values of each segment, `[S]`. Saves the segments. */
export function sumSegments(
  tape: Tape | undefined,
  windows: readonly ValueWindow[],
  segments: Segments,
): Tensor {
  let sums: Tensor | undefined;
  for (const window of windows) sums = segmentSums(window, segments, sums);
  const y = sums ?? zeros(segments.factors.device, [segments.factors.size]);
  const saved = [segments.ranges, segments.factors];
  return (
    tape?.record(
      y,
      windows.map(({ values }) => values),
      saved,
      (dy, give) => {
        for (const { values, start } of windows) {
          give(values, (into) => segmentSpread(dy, { start, count: values.size }, segments, into));
        }
      },
    ) ?? y
  );
}
