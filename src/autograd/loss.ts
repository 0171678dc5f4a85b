import { empty, fromArray, scoped, type Tensor } from "../gpu/tensor.ts";
import { crossEntropy, sumLosses } from "../kernels/cross-entropy.ts";
import { addBias, biasGradient, fill, zeros } from "../kernels/elementwise.ts";
import { type Columns, canPadSum, matmul } from "../kernels/matmul.ts";
import { gatherRows, scatterRows } from "../kernels/rows.ts";
import { fail } from "../util/fail.ts";
import * as ops from "./ops.ts";
import { passOn, type Tape } from "./tape.ts";

/** Bytes of logits that exist at a time. */
const LOGIT_BYTES = 16 * 2 ** 20;

/** Label of a position that is not predicted; PyTorch's `ignore_index`. */
const IGNORED_LABEL = -100;

/** What an output layer does to its product with the hidden states: scores = cap · tanh((scale · h Wᵀ + bias) / cap). */
export interface HeadOptions {
  /** Factor of the logits; 1 unless given. */
  logitScale?: number;
  /** Soft cap of the scaled logits; 0, the default: none. */
  logitSoftcap?: number;
  /** Added to the product, `[V]`, f32. */
  bias?: Tensor | undefined;
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
  { logitScale = 1, logitSoftcap = 0, bias }: HeadOptions = {},
): Tensor {
  const scaled = logitScale === 1 ? hidden : ops.scale(tape, hidden, logitScale);
  const logits = ops.linear(tape, scaled, head, { bias });
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
  { scale, logitBytes = LOGIT_BYTES, logitScale = 1, logitSoftcap = 0, bias }: LossOptions,
): Tensor {
  const { device } = hidden;
  checkLabels("linearCrossEntropy", labels, head.rows);
  const { rows, targets, index } = labelledRows(hidden, labels);
  if (targets.length === 0) return zeros(device, [1]);
  const wants = (tensor: Tensor | undefined) => (tensor !== undefined && tape?.tracks(tensor)) ?? false;
  const [wantsHead, wantsBias] = [wants(head), wants(bias)];
  const wantsRows = wantsHead || wantsBias || wants(hidden);
  const all = fromArray(device, targets, [targets.length]);
  const options = { scale, logitScale, logitSoftcap, bias };
  const given = { rows, head, targets: all, ...options, wantsRows, wantsHead, wantsBias };
  const chunk = chunkRows(head.rows, logitBytes);
  // One chunk makes its results; several add theirs to what begins as zeros.
  const sums = chunkSums(given, chunk < targets.length ? emptySums(given) : {}, chunk);
  const { loss, dRows, dHead, dBias } = sums;
  if (!tape || !dRows) return loss as Tensor;
  const saved = [dRows, index, dHead, dBias].filter((tensor) => tensor !== undefined);
  return tape.record(loss as Tensor, [hidden, head, ...(bias ? [bias] : [])], saved, (_, give) => {
    give(hidden, (into) => {
      if (index) return scatterRows(dRows, index, hidden.rows, into).reshape(hidden.shape);
      return passOn(dRows.reshape(hidden.shape), into);
    });
    if (dHead) give(head, (into) => passOn(dHead, into));
    if (bias && dBias) give(bias, (into) => passOn(dBias, into));
  });
}

/**
 * Sum of −log softmax(logits)[label] over the rows with a label, for logits that are there anyway: a classifier's.
 * Where a gradient is wanted, the logits are **overwritten** by it.
 * @param logits `[..., C]`
 * @param labels one for each row, each below C, or {@link IGNORED_LABEL}
 * @param scale factor of the summed loss in the gradient
 * @returns a scalar `[1]`: the sum, not the mean. Its backward pass ignores dy and applies `scale`.
 */
export function softmaxCrossEntropy(
  tape: Tape | undefined,
  logits: Tensor,
  labels: Int32Array,
  { scale }: { scale: number },
): Tensor {
  checkLabels("softmaxCrossEntropy", labels, logits.columns);
  const targets = fromArray(logits.device, labels, [labels.length]);
  const flat = logits.reshape([logits.rows, logits.columns]);
  const wanted = tape?.tracks(logits) ?? false;
  const loss = sumLosses(crossEntropy(flat, targets, wanted ? { scale } : {}));
  return (
    tape?.record(loss, [logits], [logits], (_, give) => {
      give(logits, (into) => passOn(logits, into));
    }) ?? loss
  );
}

/** @throws LoraError for a label that the head has no score for: the device would read another row's */
function checkLabels(where: string, labels: Int32Array, classes: number): void {
  const alien = labels.find((label) => label >= classes || (label < 0 && label !== IGNORED_LABEL));
  if (alien !== undefined) fail(where, `label ${alien} is outside the head, which has ${classes}`);
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

interface Chunked extends HeadOptions {
  rows: Tensor;
  head: Tensor;
  targets: Tensor;
  scale: number;
  wantsRows: boolean;
  wantsHead: boolean;
  wantsBias: boolean;
}

/** The loss, and its gradients where they are wanted; `dRows` of all rows. */
interface Sums {
  loss?: Tensor | undefined;
  dRows?: Tensor | undefined;
  dHead?: Tensor | undefined;
  dBias?: Tensor | undefined;
}

function emptySums({ rows, head, bias, wantsRows, wantsHead, wantsBias }: Chunked): Sums {
  const { device } = rows;
  return {
    loss: zeros(device, [1]),
    dRows: wantsRows ? zeros(device, rows.shape) : undefined,
    dHead: wantsHead ? zeros(device, head.shape) : undefined,
    dBias: bias && wantsBias ? zeros(device, bias.shape) : undefined,
  };
}

function chunkSums(given: Chunked, initial: Sums, chunk: number): Sums {
  const count = given.rows.rows;
  let sums = initial;
  for (let start = 0; start < count; start += chunk) {
    scoped(given.rows.device, () => {
      sums = lossOfChunk(given, initial, start, Math.min(start + chunk, count));
      return Object.values<Tensor | undefined>({ ...sums }).filter((tensor) => tensor !== undefined);
    });
  }
  return sums;
}

/** Adds the loss of rows [start, end) and, where wanted, their part of the gradients to `sums`, or makes them. */
function lossOfChunk(given: Chunked, sums: Sums, start: number, end: number): Sums {
  const { rows, head, targets, scale, wantsRows, wantsHead, wantsBias } = given;
  const { logitScale: alpha = 1, logitSoftcap: softcap = 0 } = given;
  const part = rows.slice(start, end);
  const { logits, ofVocab, isPadded } = scoresOf(part, head, given);
  const losses = crossEntropy(logits, targets.slice(start, end), { softcap, ...(wantsRows && { scale }) });
  const loss = sumLosses(losses, sums.loss);
  if (!wantsRows) return { loss };
  const add = (into: Tensor | undefined) => into && { into };
  const into = add(sums.dRows?.slice(start, end));
  const dPart = matmul(ofVocab, head, { layout: "NN", alpha, paddedSum: isPadded, ...into });
  return {
    loss,
    dRows: sums.dRows ?? dPart,
    dHead: wantsHead ? matmul(ofVocab, part, { layout: "TN", alpha, ...add(sums.dHead) }) : undefined,
    dBias: wantsBias ? biasGradient(logits, sums.dBias) : undefined,
  };
}

/** A score that softmax gives no weight, and so no gradient. */
const NOTHING = -1e30;

/**
 * Logits of a chunk, and the part of them that belongs to the vocabulary. Where its size is no multiple of four (GPT-2),
 * rows get columns of weight 0 after it, so that all can be read in vectors: without them GPT-2's loss and gradient
 * took 3.2 times as long on lavapipe.
 */
function scoresOf(
  part: Tensor,
  head: Tensor,
  { logitScale: alpha = 1, logitSoftcap = 0, bias }: HeadOptions,
): { logits: Tensor; ofVocab: Tensor | Columns; isPadded: boolean } {
  const vocab = head.rows;
  const isPlain = vocab % 4 === 0 || logitSoftcap !== 0 || bias !== undefined || !canPadSum(head);
  if (isPlain) {
    const logits = matmul(part, head, { layout: "NT", alpha });
    if (bias) addBias(logits, bias);
    return { logits, ofVocab: logits, isPadded: false };
  }
  const logits = fill(empty(part.device, [part.rows, Math.ceil(vocab / 4) * 4]), NOTHING);
  const ofVocab = { of: logits, first: 0, count: vocab };
  matmul(part, head, { layout: "NT", alpha, out: ofVocab });
  return { logits, ofVocab, isPadded: true };
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
