import { fromArray } from "../src/gpu/tensor.ts";
import { crossEntropy, sumLosses } from "../src/kernels/cross-entropy.ts";
import { crossEntropyReference } from "../test/reference/cross-entropy.ts";
import { type BenchCase, indicesOfRows, repeatedValues, sized, spread } from "./harness.ts";

interface Size {
  rows: number;
  vocab: number;
}

const label = ({ rows, vocab }: Size) => `T${rows} V${vocab}`;
const labelsOf = ({ rows, vocab }: Size) =>
  Int32Array.from({ length: rows }, (_, row) => (row * 7919) % vocab);

/** Rows of logits that are judged: each takes a pass over the vocabulary in f64. */
const ROWS = 4;

function forward(size: Size): BenchCase {
  const { rows, vocab } = size;
  return sized("cross-entropy forward", label(size), rows * vocab, (device) => {
    const logits = repeatedValues(rows * vocab, 1);
    const labels = labelsOf(size);
    const X = fromArray(device, logits, [rows, vocab]);
    const L = fromArray(device, labels, [rows]);
    return {
      run: () => crossEntropy(X, L),
      reference: () => {
        const at = spread(rows, ROWS);
        return { at, values: at.map((row) => lossOf(logits, labels, row, vocab)) };
      },
      flops: 4 * rows * vocab,
      bytes: 4 * rows * vocab,
    };
  });
}

/**
 * Loss and gradient, in place: later runs overwrite gradients by gradients of these, which is the same work.
 */
function both(size: Size): BenchCase {
  const { rows, vocab } = size;
  const scale = 1 / rows;
  return sized("cross-entropy forward and backward", label(size), rows * vocab, (device) => {
    const logits = repeatedValues(rows * vocab, 1);
    const labels = labelsOf(size);
    const X = fromArray(device, logits, [rows, vocab]);
    const L = fromArray(device, labels, [rows]);
    return {
      run: () => [crossEntropy(X, L, { scale }), X],
      reference: () => {
        const sample = spread(rows, ROWS);
        const losses = sample.map((row) => lossOf(logits, labels, row, vocab));
        const gradients = sample.flatMap((row, n) =>
          gradientOf(
            logits.subarray(row * vocab, (row + 1) * vocab),
            labels[row] as number,
            losses[n] as number,
            scale,
          ),
        );
        return [
          { at: sample, values: losses },
          { at: indicesOfRows(sample, vocab), values: gradients },
        ];
      },
      flops: 8 * rows * vocab,
      bytes: 8 * rows * vocab,
    };
  });
}

function lossOf(logits: Float32Array, labels: Int32Array, row: number, vocab: number): number {
  const values = logits.subarray(row * vocab, (row + 1) * vocab);
  return crossEntropyReference(values, labels.subarray(row, row + 1))[0] as number;
}

/** softmax minus one-hot, by the reference's loss: log Σ exp is loss + logits[label]. */
function gradientOf(logits: Float32Array, label: number, loss: number, scale: number): number[] {
  const logSum = loss + (logits[label] as number);
  return Array.from(logits, (logit, i) => scale * (Math.exp(logit - logSum) - (i === label ? 1 : 0)));
}

function total(rows: number): BenchCase {
  return sized("cross-entropy sum of losses", `T${rows}`, rows, (device) => {
    const losses = repeatedValues(rows, 1).map(Math.abs);
    const L = fromArray(device, losses, [rows]);
    return {
      run: () => sumLosses(L),
      reference: () => [losses.reduce((sum, loss) => sum + loss, 0)],
      flops: rows,
      bytes: 4 * rows,
    };
  });
}

const sizes: Size[] = [
  { rows: 128, vocab: 1024 },
  { rows: 128, vocab: 32_000 },
  { rows: 128, vocab: 151_936 },
  { rows: 512, vocab: 32_000 },
];

export const cases: BenchCase[] = [...sizes.map(forward), ...sizes.map(both), total(2048)];
