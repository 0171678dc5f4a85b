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
  const positions = labelledPositions(labels);
  const loss = zeros(device, [1]);
  if (positions.length === 0) return loss;
  const index = fromArray(device, positions, [positions.length]);
  const targets = fromArray(
    device,
    Int32Array.from(positions, (at) => labels[at] as number),
    [positions.length],
  );
  const rows = gatherRows(hidden.reshape([hidden.rows, hidden.columns]), index);
  const wantsHead = tape?.tracks(head) ?? false;
  const gradient = tape && (wantsHead || tape.tracks(hidden));
  const dRows = gradient ? zeros(device, rows.shape) : undefined;
  const dHead = wantsHead ? zeros(device, head.shape) : undefined;
  const chunk = chunkRows(head.rows, logitBytes);
  for (let start = 0; start < positions.length; start += chunk) {
    const end = Math.min(start + chunk, positions.length);
    scoped(device, () => {
      lossOfChunk({ rows, head, targets, loss, dRows, dHead, scale, logitScale, logitSoftcap }, start, end);
      return undefined;
    });
  }
  if (!tape || !dRows) return loss;
  const saved = [dRows, index, ...(dHead ? [dHead] : [])];
  return tape.record(loss, [hidden, head], saved, (_, give) => {
    give(hidden, (into) => scatterRows(dRows, index, hidden.rows, into).reshape(hidden.shape));
    if (dHead) give(head, (into) => (into ? addInto(into, dHead) : dHead));
  });
}

interface Chunked extends Required<HeadOptions> {
  rows: Tensor;
  head: Tensor;
  targets: Tensor;
  loss: Tensor;
  dRows: Tensor | undefined;
  dHead: Tensor | undefined;
  scale: number;
}

/** Adds the loss of rows [start, end) and, where wanted, writes their part of the gradients. */
function lossOfChunk(
  { rows, head, targets, loss, dRows, dHead, scale, logitScale: alpha, logitSoftcap: softcap }: Chunked,
  start: number,
  end: number,
): void {
  const part = rows.slice(start, end);
  const logits = matmul(part, head, { layout: "NT", alpha });
  const losses = crossEntropy(logits, targets.slice(start, end), { softcap, ...(dRows && { scale }) });
  sumLosses(losses, loss);
  if (dRows) matmul(logits, head, { layout: "NN", alpha, into: dRows.slice(start, end) });
  if (dHead) matmul(logits, part, { layout: "TN", alpha, into: dHead });
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
