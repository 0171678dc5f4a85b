import { fromArray, scoped, type Tensor } from "../gpu/tensor.ts";
import { crossEntropy, sumLosses } from "../kernels/cross-entropy.ts";
import { addInto, zeros } from "../kernels/elementwise.ts";
import { matmul } from "../kernels/matmul.ts";
import { gatherRows, scatterRows } from "../kernels/rows.ts";
import * as ops from "./ops.ts";
import type { Tape } from "./tape.ts";

/** Bytes of logits that exist at a time. */
const LOGIT_BYTES = 16 * 2 ** 20;

/** Label of a position that is not predicted; PyTorch's `ignore_index`. */
export const IGNORED_LABEL = -100;

/** What an output layer does to its product with the hidden states: scores = cap · tanh(scale · h Wᵀ / cap). */
export interface HeadOptions {
  /** Factor of the logits; 1 unless given. */
  logitScale?: number;
  /** Soft cap of the scaled logits; 0, the default: none. */
  logitSoftcap?: number;
}

/**
 * Scores of all tokens of the vocabulary.
 * @param hidden `[..., d]`
 * @param head `[V, d]`
 * @returns `[..., V]`
 */
export function headLogits(
  tape: Tape | undefined,
  hidden: Tensor,
  head: Tensor,
  { logitScale = 1, logitSoftcap = 0 }: HeadOptions = {},
): Tensor {
  const scaled = logitScale === 1 ? hidden : ops.scale(tape, hidden, logitScale);
  const logits = ops.linear(tape, scaled, head);
  return logitSoftcap === 0 ? logits : ops.softcap(tape, logits, logitSoftcap);
}

/** Options of {@link linearCrossEntropy}. */
export interface LossOptions extends HeadOptions {
  /**
   * Factor of the summed loss in the gradient: 1 / number of predicted tokens of the whole optimiser step,
   * so that micro-batches of unequal length weigh as their tokens do.
   */
  scale: number;
  /** Most bytes of logits at a time; tests lower it. */
  logitBytes?: number;
}

/**
 * Sum of −log softmax(scores)[label] over the labelled positions, scores being hidden Wᵀ, scaled and capped as asked.
 *
 * Unlabelled positions are dropped before the output layer, and the rest passes it in chunks: each chunk's logits
 * become their own gradient in place and are multiplied back at once, so all logits never exist together
 * (the order of Liger-Kernel's fused linear cross-entropy, arXiv 2410.10989).
 * @param hidden `[B, T, d]`
 * @param head `[V, d]`, frozen words or trainable f32
 * @param labels of position t: the token at t + 1, or {@link IGNORED_LABEL}; B·T of them
 * @returns a scalar `[1]`: the sum, not the mean. Its backward pass ignores dy and applies `scale`.
 */
export function linearCrossEntropy(
  tape: Tape | undefined,
  hidden: Tensor,
  head: Tensor,
  labels: Int32Array,
  { scale, logitBytes = LOGIT_BYTES, logitScale = 1, logitSoftcap = 0 }: LossOptions,
): Tensor {
  const { device } = hidden;
  const { rows, targets, index } = labelledRows(hidden, labels);
  if (targets.length === 0) return zeros(device, [1]);
  const wantsHead = tape?.tracks(head) ?? false;
  const wantsRows = tape !== undefined && (wantsHead || tape.tracks(hidden));
  const all = fromArray(device, targets, [targets.length]);
  const given = { rows, head, targets: all, scale, logitScale, logitSoftcap, wantsRows, wantsHead };
  const chunk = chunkRows(head.rows, logitBytes);
  // One chunk makes its results; several add theirs to what begins as zeros.
  const sums = chunk < targets.length ? emptySums(given) : {};
  const [loss, dRows, dHead] = chunkSums(given, sums, chunk) as [Tensor, Tensor?, Tensor?];
  if (!tape || !dRows) return loss;
  const saved = [dRows, ...(index ? [index] : []), ...(dHead ? [dHead] : [])];
  return tape.record(loss, [hidden, head], saved, (_, give) => {
    give(hidden, (into) => {
      if (index) return scatterRows(dRows, index, hidden.rows, into).reshape(hidden.shape);
      return into ? addInto(into, dRows) : dRows.reshape(hidden.shape);
    });
    if (dHead) give(head, (into) => (into ? addInto(into, dHead) : dHead));
  });
}

/** Rows that pass the output layer, and the label of each. Without an index they are all there are. */
interface LabelledRows {
  rows: Tensor;
  targets: Int32Array;
  index?: Tensor;
}

/** Where nearly all positions have a label, dropping the others costs more than computing them. */
const NEARLY_ALL = 7 / 8;

function labelledRows(hidden: Tensor, labels: Int32Array): LabelledRows {
  const whole = hidden.reshape([hidden.rows, hidden.columns]);
  const positions = labelledPositions(labels);
  if (positions.length === 0) return { rows: whole, targets: new Int32Array() };
  if (positions.length >= NEARLY_ALL * labels.length) return { rows: whole, targets: labels };
  const index = fromArray(hidden.device, positions, [positions.length]);
  const targets = Int32Array.from(positions, (at) => labels[at] as number);
  return { rows: gatherRows(whole, index), targets, index };
}

interface Chunked extends Required<HeadOptions> {
  rows: Tensor;
  head: Tensor;
  targets: Tensor;
  scale: number;
  wantsRows: boolean;
  wantsHead: boolean;
}

/** The loss, and its gradients where they are wanted; `dRows` of all rows. */
interface Sums {
  loss?: Tensor | undefined;
  dRows?: Tensor | undefined;
  dHead?: Tensor | undefined;
}

function emptySums({ rows, head, wantsRows, wantsHead }: Chunked): Sums {
  const { device } = rows;
  const dRows = wantsRows ? zeros(device, rows.shape) : undefined;
  return { loss: zeros(device, [1]), dRows, dHead: wantsHead ? zeros(device, head.shape) : undefined };
}

/** Runs all chunks; the loss comes first, then the gradients that are wanted. */
function chunkSums(given: Chunked, sums: Sums, chunk: number): Tensor[] {
  const count = given.rows.rows;
  let results: Tensor[] = [];
  for (let start = 0; start < count; start += chunk) {
    const end = Math.min(start + chunk, count);
    results = scoped(given.rows.device, () => lossOfChunk(given, sums, start, end));
  }
  return results;
}

/** Adds the loss of rows [start, end) and, where wanted, their part of the gradients to `sums`, or makes them. */
function lossOfChunk(given: Chunked, sums: Sums, start: number, end: number): Tensor[] {
  const {
    rows,
    head,
    targets,
    scale,
    logitScale: alpha,
    logitSoftcap: softcap,
    wantsRows,
    wantsHead,
  } = given;
  const part = rows.slice(start, end);
  const logits = matmul(part, head, { layout: "NT", alpha });
  const losses = crossEntropy(logits, targets.slice(start, end), { softcap, ...(wantsRows && { scale }) });
  const results = [sumLosses(losses, sums.loss)];
  if (wantsRows) {
    const into = sums.dRows?.slice(start, end);
    const dPart = matmul(logits, head, { layout: "NN", alpha, ...(into && { into }) });
    results.push(sums.dRows ?? dPart);
  }
  if (wantsHead) {
    const into = sums.dHead;
    results.push(matmul(logits, part, { layout: "TN", alpha, ...(into && { into }) }));
  }
  return results;
}

function labelledPositions(labels: Int32Array): Uint32Array {
  const positions = new Uint32Array(labels.length);
  let count = 0;
  labels.forEach((label, at) => {
    if (label !== IGNORED_LABEL) positions[count++] = at;
  });
  return positions.slice(0, count);
}

/** Rows of logits that fit, a multiple of 64 so that every chunk starts at an aligned offset. */
function chunkRows(vocabSize: number, logitBytes: number): number {
  return Math.max(64, Math.floor(logitBytes / (4 * vocabSize) / 64) * 64);
}
