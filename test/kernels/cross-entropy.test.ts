import { describe, expect, test } from "vitest";
import { fromArray } from "../../src/gpu/tensor.ts";
import { crossEntropy, type LossShape, sumLosses } from "../../src/kernels/cross-entropy.ts";
import { crossEntropyReference } from "../reference/cross-entropy.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { floats, testDevice } from "../support/device.ts";

const cases = [
  { rows: 1, cols: 1 },
  { rows: 3, cols: 3 },
  { rows: 2, cols: 127 },
  { rows: 5, cols: 123 },
  { rows: 2, cols: 2500 }, // more than one step of four columns
  { rows: 35, cols: 20 }, // enough rows for an invocation each
  { rows: 35, cols: 21, softcap: 5 },
  { rows: 4, cols: 300, magnitude: 1e4 },
  { rows: 5, cols: 123, magnitude: 20, softcap: 30 },
  { rows: 5, cols: 123, labelSmoothing: 0.1 },
  { rows: 35, cols: 20, zLoss: 0.01 },
  { rows: 4, cols: 300, softcap: 5, labelSmoothing: 0.3, zLoss: 1e-3 },
];

describe.each(cases)("cross_entropy %j", (c) => {
  const { rows, cols, magnitude = 1, softcap = 0, labelSmoothing = 0, zLoss = 0 } = c;
  const options = { softcap, labelSmoothing, zLoss };
  const logits = randomValues(rows * cols, 1, magnitude);
  // The second row is ignored.
  const labels = Int32Array.from({ length: rows }, (_, row) => (row === 1 ? -100 : (row * 37) % cols));
  const wanted = crossEntropyReference(logits, labels, softcap, options);

  test("loss alone leaves the logits", async () => {
    const device = await testDevice();
    const X = floats(device, logits, [rows, cols]);
    const loss = crossEntropy(X, fromArray(device, labels, [rows]), options);
    expect(await loss.read()).toBeClose(wanted);
    expect(await X.read()).toEqual(Float32Array.from(logits));
  });

  test("loss and gradient", async () => {
    const device = await testDevice();
    const X = floats(device, logits, [rows, cols]);
    const scale = 1 / (rows + 1);
    const loss = crossEntropy(X, fromArray(device, labels, [rows]), { scale, ...options });
    expect(await loss.read()).toBeClose(wanted);
    expect(await X.read()).toBeClose(rowwiseDifferences(logits, labels, { scale, ...options }), 1e-4);
  });
});

test.each([cases[3]!, cases[6]!])(
  "the gradient of each row by its weight, %j",
  async ({ rows, cols, softcap = 0 }) => {
    const device = await testDevice();
    const logits = randomValues(rows * cols, 1);
    const weights = randomValues(rows, 2);
    const labels = Int32Array.from({ length: rows }, (_, row) => (row * 37) % cols);
    const X = floats(device, logits, [rows, cols]);
    const losses = floats(device, new Float32Array(rows), [rows]);
    const given = { scale: 0.5, softcap, weights: floats(device, weights, [rows]), losses };
    crossEntropy(X, fromArray(device, labels, [rows]), given);
    expect(await losses.read()).toBeClose(crossEntropyReference(logits, labels, softcap));
    const plain = rowwiseDifferences(logits, labels, { scale: 0.5, softcap });
    expect(await X.read()).toBeClose(
      plain.map((g, i) => g * weights[Math.floor(i / cols)]!),
      1e-4,
    );
  },
);

test("label smoothing agrees with torch's", async () => {
  const device = await testDevice();
  const X = floats(device, [1, 2, -1, 0.5, 0.1, -3, 4, 2], [2, 4]);
  const loss = crossEntropy(X, fromArray(device, Int32Array.of(1, 2), [2]), { labelSmoothing: 0.1 });
  expect(await loss.read()).toBeClose([0.6326818980858561, 0.4678887574635763]); // torch 2.13, F.cross_entropy, f64
});

test("losses are summed and accumulated", async () => {
  const device = await testDevice();
  const values = randomValues(5 * 123, 4);
  const sum = values.reduce((a, b) => a + b);
  const total = sumLosses(floats(device, values, [values.length]));
  expect(await total.read()).toBeClose([sum]);
  expect(await sumLosses(floats(device, values, [values.length]), total).read()).toBeClose([2 * sum]);
});

test.each([Number.NaN, Number.POSITIVE_INFINITY])(
  "a logit of %s reaches the loss and the gradient",
  async (logit) => {
    const device = await testDevice();
    const labels = fromArray(device, Int32Array.of(0, 0), [2]);
    const X = floats(device, [1, logit, 3, 4, 5, 6], [2, 3]);
    const loss = crossEntropy(X, labels, { scale: 1 });
    expect((await X.read())[1]).toBe(logit);
    expect(Number.isNaN((await loss.read())[0])).toBe(true);
    const wide = floats(device, [1, 2, logit, 3, 4, 5, 6, 7], [2, 4]);
    const losses = await crossEntropy(wide, labels, { scale: 1 }).read();
    expect((await wide.read())[2]).toBe(logit);
    expect([...losses].map(Number.isNaN)).toEqual([true, false]);
    expect(await sumLosses(loss).read()).toEqual(Float32Array.of(Number.NaN));
  },
);

test("labels of another length are refused", async () => {
  const device = await testDevice();
  const labels = fromArray(device, Int32Array.of(0), [1]);
  expect(() => crossEntropy(floats(device, [1, 2], [2, 1]), labels)).toThrow("expected [2] i32");
});

/** Rows are independent: cols² work a row instead of (rows · cols)². */
function rowwiseDifferences(
  logits: Float64Array,
  labels: Int32Array,
  { scale, softcap, ...shape }: { scale: number; softcap: number } & LossShape,
): Float64Array {
  const cols = logits.length / labels.length;
  const gradient = new Float64Array(logits.length);
  labels.forEach((label, row) => {
    const forward = (x: Float64Array) => crossEntropyReference(x, [label], softcap, shape);
    gradient.set(
      centralDifferences(forward, logits.subarray(row * cols, (row + 1) * cols), [scale]),
      row * cols,
    );
  });
  return gradient;
}
