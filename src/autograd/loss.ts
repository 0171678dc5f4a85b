import type { Device } from "../gpu/device.ts";
import { empty, fromArray, scoped, type Tensor } from "../gpu/tensor.ts";
import { crossEntropy, type LossShape, sumLosses } from "../kernels/cross-entropy.ts";
import { addBias, biasGradient, fill, zeros } from "../kernels/elementwise.ts";
import { type Columns, canPadSum, matmul } from "../kernels/matmul.ts";
import { gatherRows, scatterRows } from "../kernels/rows.ts";
import type { Weight } from "../kernels/weight.ts";
import { fail } from "../util/fail.ts";
import * as ops from "./ops.ts";
import { passOnTimes, type Tape } from "./tape.ts";

/** Bytes of logits that exist at a time. */
export const LOGIT_BYTES = 16 * 2 ** 20;

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
  head: Weight,
  { logitScale = 1, logitSoftcap = 0, bias }: HeadOptions = {},
): Tensor {
  const scaled = logitScale === 1 ? hidden : ops.scale(tape, hidden, logitScale);
  const logits = ops.linear(tape, scaled, head, { bias });
  return logitSoftcap === 0 ? logits : ops.softcap(tape, logits, logitSoftcap);
}

/** Options of {@link linearCrossEntropy}. */
export interface LossOptions extends HeadOptions, LossShape {
  /** Most bytes of logits at a time; tests lower it. */
  logitBytes?: number;
}

/** What is predicted of the rows of hidden states, and where. */
export interface Targets {
  /** Rows with a label, rising. */
  readonly positions: Uint32Array;
  /** The label of each of them. */
  readonly labels: Int32Array;
  /** The same on the device, where {@link placeTargets} has put it before the pass. */
  readonly placed?: PlacedTargets | undefined;
}

/** Targets on the device: of rows that an index names, or of all, in which some have no label. */
export interface PlacedTargets {
  /** i32. */
  readonly labels: Tensor;
  /** u32: the labelled rows, where the others are to be dropped. */
  readonly index?: Tensor;
}

/** Targets of all rows. */
export function targetsOfAll(labels: Int32Array): Targets {
  return { positions: Uint32Array.from(labels, (_, i) => i), labels };
}

/**
 * Sum of −log softmax(scores)[label] over the labelled positions, scores being hidden Wᵀ, scaled and capped as asked.
 *
 * Unlabelled positions are dropped before the output layer, and the rest passes it in chunks: each chunk's logits
 * become their own gradient in place and are multiplied back at once, so all logits never exist together
 * (the order of Liger-Kernel's fused linear cross-entropy, arXiv 2410.10989).
 * @param hidden `[..., d]`
 * @param head `[V, d]`, frozen or trainable f32
 * @returns a scalar `[1]`: the sum, not the mean
 */
export function linearCrossEntropy(
  tape: Tape | undefined,
  hidden: Tensor,
  head: Weight,
  targets: Targets,
  { logitBytes = LOGIT_BYTES, logitScale = 1, logitSoftcap = 0, bias, ...shape }: LossOptions = {},
): Tensor {
  const { device } = hidden;
  if (targets.labels.length === 0) return zeros(device, [1]);
  const sizes = { rows: hidden.rows, classes: head.rows };
  const { labels, index } = targets.placed ?? placeTargets(device, targets, sizes);
  const whole = hidden.reshape([hidden.rows, hidden.columns]);
  const rows = index ? gatherRows(whole, index) : whole;
  const wants = (tensor: Tensor | undefined) => (tensor !== undefined && tape?.tracks(tensor)) ?? false;
  const [wantsHead, wantsBias] = [wants(head.words), wants(bias)];
  const wantsRows = wantsHead || wantsBias || wants(hidden);
  const options = { logitScale, logitSoftcap, bias, shape };
  const given = { rows, head, labels, ...options, wantsRows, wantsHead, wantsBias };
  const chunk = chunkRows(head.rows, logitBytes);
  // One chunk makes its results; several add theirs to what begins as zeros.
  const sums = chunkSums(given, chunk < rows.rows ? emptySums(given) : {}, chunk);
  const { loss, dRows, dHead, dBias } = sums;
  if (!tape || !dRows) return loss as Tensor;
  const saved = [dRows, index, dHead, dBias].filter((tensor) => tensor !== undefined);
  return tape.record(loss as Tensor, [hidden, head.words, ...(bias ? [bias] : [])], saved, (dy, give) => {
    give(hidden, (into) => {
      if (!index) return passOnTimes(dRows.reshape(hidden.shape), dy, into);
      return scatterRows(passOnTimes(dRows, dy, undefined), index, hidden.rows, into).reshape(hidden.shape);
    });
    if (dHead) give(head.words, (into) => passOnTimes(dHead, dy, into));
    if (bias && dBias) give(bias, (into) => passOnTimes(dBias, dy, into));
  });
}

/**
 * Sum of −log softmax(logits)[label] over the rows with a label, for logits that are there anyway: a classifier's.
 * Where a gradient is wanted, the logits are **overwritten** by it.
 * @param logits `[..., C]`
 * @param labels one for each row, each below C, or {@link IGNORED_LABEL}
 * @returns a scalar `[1]`: the sum, not the mean
 */
export function softmaxCrossEntropy(
  tape: Tape | undefined,
  logits: Tensor,
  labels: Int32Array,
  { logitSoftcap: softcap = 0, ...shape }: LossShape & Pick<HeadOptions, "logitSoftcap"> = {},
): Tensor {
  checkLabels("softmaxCrossEntropy", labels, logits.columns);
  const targets = fromArray(logits.device, labels, [labels.length]);
  const flat = logits.reshape([logits.rows, logits.columns]);
  const wanted = tape?.tracks(logits) ?? false;
  const loss = sumLosses(crossEntropy(flat, targets, { ...shape, softcap, ...(wanted && { scale: 1 }) }));
  return (
    tape?.record(loss, [logits], [logits], (dy, give) => {
      give(logits, (into) => passOnTimes(logits, dy, into));
    }) ?? loss
  );
}

/** @throws LoraError for a label that the head has no score for: the device would read another row's */
export function checkLabels(where: string, labels: Int32Array, classes: number): void {
  const alien = labels.find((label) => label >= classes || (label < 0 && label !== IGNORED_LABEL));
  if (alien !== undefined) fail(where, `label ${alien} is outside the head, which has ${classes}`);
}

/** Where nearly all positions have a label, dropping the others costs more than computing them. */
const NEARLY_ALL = 7 / 8;

/**
 * Uploads targets of {@link linearCrossEntropy}.
 * @param sizes rows of hidden states, labelled or not, and classes of the head
 * @throws LoraError for a label that the head has no score for
 */
export function placeTargets(
  device: Device,
  { positions, labels }: Targets,
  { rows, classes }: { readonly rows: number; readonly classes: number },
): PlacedTargets {
  checkLabels("linearCrossEntropy", labels, classes);
  if (positions.length === rows) return { labels: fromArray(device, labels, [rows]) };
  if (positions.length >= NEARLY_ALL * rows) {
    const all = new Int32Array(rows).fill(IGNORED_LABEL);
    for (let i = 0; i < positions.length; i++) all[positions[i] as number] = labels[i] as number;
    return { labels: fromArray(device, all, [rows]) };
  }
  const index = fromArray(device, positions, [positions.length]);
  return { index, labels: fromArray(device, labels, [labels.length]) };
}

interface Chunked extends HeadOptions {
  shape: LossShape;
  rows: Tensor;
  head: Weight;
  labels: Tensor;
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
  const { rows, head, labels, wantsRows, wantsHead, wantsBias } = given;
  const { logitScale: alpha = 1, logitSoftcap: softcap = 0 } = given;
  const part = rows.slice(start, end);
  const { logits, ofVocab, isPadded } = scoresOf(part, head, given);
  const options = { ...given.shape, softcap, classes: head.rows, ...(wantsRows && { scale: 1 }) };
  const losses = crossEntropy(logits, labels.slice(start, end), options);
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
  head: Weight,
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

/** Rows of logits that fit, a multiple of 64 so that every chunk starts at an aligned offset. */
export function chunkRows(vocabSize: number, logitBytes: number): number {
  return Math.max(64, Math.floor(logitBytes / (4 * vocabSize) / 64) * 64);
}
