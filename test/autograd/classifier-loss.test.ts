import { expect, test } from "vitest";
import { headLogits, linearCrossEntropy, softmaxCrossEntropy } from "../../src/autograd/loss.ts";
import * as ops from "../../src/autograd/ops.ts";
import { Tape } from "../../src/autograd/tape.ts";
import { crossEntropyReference } from "../reference/cross-entropy.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { matmulReference } from "../reference/matmul.ts";
import { floats, testDevice } from "../support/device.ts";

const [N, d, C] = [5, 8, 3];
const x = randomValues(N * d, 1);
const w = randomValues(C * d, 2);
const b = randomValues(C, 3);
const labels = Int32Array.of(2, -100, 0, 1, 1);
const positions = Uint32Array.from(labels.keys()).filter((at) => labels[at] !== -100);
const targets = { positions, labels: Int32Array.from(positions, (at) => labels[at]!) };
const scale = 0.25;

function lossReference(x: ArrayLike<number>, w: ArrayLike<number>, b: ArrayLike<number>): number {
  const logits = matmulReference(x, w, { m: N, n: C, k: d, layout: "NT" }).map((l, i) => l + b[i % C]!);
  const masked = labels.map((label) => Math.max(label, -1));
  return crossEntropyReference(logits, masked).reduce((sum, loss) => sum + loss, 0);
}

const gradients = {
  x: centralDifferences((v) => [lossReference(v, w, b)], x, [scale]),
  w: centralDifferences((v) => [lossReference(x, v, b)], w, [scale]),
  b: centralDifferences((v) => [lossReference(x, w, v)], b, [scale]),
};

async function inputs() {
  const device = await testDevice();
  return { X: floats(device, x, [N, d]), W: floats(device, w, [C, d]), B: floats(device, b, [C]) };
}

test("loss of logits that are there: value and gradients behind a linear layer", async () => {
  const { X, W, B } = await inputs();
  const tape = new Tape();
  for (const leaf of [X, W, B]) tape.watch(leaf);
  const loss = softmaxCrossEntropy(tape, ops.linear(tape, X, W, { bias: B }), labels);
  expect(await loss.read()).toBeClose([lossReference(x, w, b)]);
  const found = tape.backward(loss, floats(X.device, [scale], [1]));
  expect(await found.get(X)!.read()).toBeClose(gradients.x, 1e-4);
  expect(await found.get(W)!.read()).toBeClose(gradients.w, 1e-4);
  expect(await found.get(B)!.read()).toBeClose(gradients.b, 1e-4);
});

test("without a tape the logits stay as they are", async () => {
  const { X, W, B } = await inputs();
  const logits = headLogits(undefined, X, W, { bias: B });
  const before = await logits.read();
  expect(await softmaxCrossEntropy(undefined, logits, labels).read()).toBeClose([lossReference(x, w, b)]);
  expect(await logits.read()).toEqual(before);
});

test("an output layer with a bias: loss and gradients, the bias's own too", async () => {
  const { X, W, B } = await inputs();
  const tape = new Tape();
  for (const leaf of [X, W, B]) tape.watch(leaf);
  const loss = linearCrossEntropy(tape, X, W, targets, { bias: B });
  expect(await loss.read()).toBeClose([lossReference(x, w, b)]);
  const found = tape.backward(loss, floats(X.device, [scale], [1]));
  expect(await found.get(X)!.read()).toBeClose(gradients.x, 1e-4);
  expect(await found.get(W)!.read()).toBeClose(gradients.w, 1e-4);
  expect(await found.get(B)!.read()).toBeClose(gradients.b, 1e-4);
});

test("a label outside the head is refused", async () => {
  const { X, W } = await inputs();
  const logits = ops.linear(undefined, X, W);
  expect(() => softmaxCrossEntropy(undefined, logits, Int32Array.of(0, 1, 2, 3, 0))).toThrow(
    "label 3 is outside the head, which has 3",
  );
});
