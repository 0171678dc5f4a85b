import { describe, expect, test } from "vitest";
import {
  type HeadOptions,
  headLogits,
  type LossOptions,
  linearCrossEntropy,
  targetsOfAll,
} from "../../src/autograd/loss.ts";
import * as ops from "../../src/autograd/ops.ts";
import { Tape } from "../../src/autograd/tape.ts";
import { fromArray, scoped, type Tensor } from "../../src/gpu/tensor.ts";
import { crossEntropyReference } from "../reference/cross-entropy.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { matmulReference } from "../reference/matmul.ts";
import { floats, testDevice } from "../support/device.ts";

const [N, d, V] = [150, 4, 26]; // 100 of the rows have a label: two chunks of 64
const hidden = randomValues(N * d, 1);
const head = randomValues(V * d, 2);
const labels = Int32Array.from({ length: N }, (_, i) => (i % 3 === 0 ? -100 : (i * 7) % V));
const positions = Uint32Array.from(labels.keys()).filter((at) => labels[at] !== -100);
const targets = { positions, labels: Int32Array.from(positions, (at) => labels[at]!) };
const scale = 0.25;

/** Scores as the head's options shape them. */
function scoresReference(hidden: ArrayLike<number>, head: ArrayLike<number>, options: HeadOptions = {}) {
  const { logitScale = 1, logitSoftcap: cap = 0 } = options;
  const logits = matmulReference(hidden, head, { m: N, n: V, k: d, layout: "NT" });
  return logits.map((l) => (cap ? cap * Math.tanh((logitScale * l) / cap) : logitScale * l));
}

/** Sum of logsumexp(scores) − scores[label] over the labelled rows. */
function lossReference(
  hidden: ArrayLike<number>,
  head: ArrayLike<number>,
  options: LossOptions = {},
): number {
  const masked = labels.map((label) => Math.max(label, -1));
  return crossEntropyReference(scoresReference(hidden, head, options), masked, 0, options).reduce(
    (a, b) => a + b,
    0,
  );
}

describe.each([{ logitBytes: 2 ** 20 }, { logitBytes: 64 * V * 4 }])(
  "fused linear cross-entropy, $logitBytes bytes",
  ({ logitBytes }) => {
    test("loss and gradients of hidden states and head", async () => {
      const device = await testDevice();
      const [H, W] = [floats(device, hidden, [2, N / 2, d]), floats(device, head, [V, d])];
      const tape = new Tape();
      for (const leaf of [H, W]) tape.watch(leaf);
      const loss = linearCrossEntropy(tape, H, W, targets, { logitBytes });
      expect(await loss.read()).toBeClose([lossReference(hidden, head)]);
      const gradients = tape.backward(loss, floats(device, [scale], [1]));
      const wanted = [
        centralDifferences((v) => [lossReference(v, head)], hidden, [scale]),
        centralDifferences((v) => [lossReference(hidden, v)], head, [scale]),
      ];
      expect(await gradients.get(H)!.read()).toBeClose(wanted[0]!, 1e-4);
      expect(await gradients.get(W)!.read()).toBeClose(wanted[1]!, 1e-4);
    });
  },
);

const shaped: LossOptions[] = [
  { labelSmoothing: 0.2, zLoss: 1e-2 },
  { logitScale: 0.25 },
  { logitSoftcap: 2 },
  { logitScale: 0.5, logitSoftcap: 1.5 },
];
test.each(shaped)("scores with %j: logits, loss and gradients", async (options) => {
  const device = await testDevice();
  const [H, W] = [floats(device, hidden, [N, d]), floats(device, head, [V, d])];
  expect(await headLogits(undefined, H, W, options).read()).toBeClose(scoresReference(hidden, head, options));
  const tape = new Tape();
  for (const leaf of [H, W]) tape.watch(leaf);
  const loss = linearCrossEntropy(tape, H, W, targets, options);
  expect(await loss.read()).toBeClose([lossReference(hidden, head, options)]);
  const gradients = tape.backward(loss, floats(device, [scale], [1]));
  const wanted = [
    centralDifferences((v) => [lossReference(v, head, options)], hidden, [scale]),
    centralDifferences((v) => [lossReference(hidden, v, options)], head, [scale]),
  ];
  expect(await gradients.get(H)!.read()).toBeClose(wanted[0]!, 1e-4);
  expect(await gradients.get(W)!.read()).toBeClose(wanted[1]!, 1e-4);
});

test("a head that ends inside a vector of 16 bytes, with NaN behind it", async () => {
  const device = await testDevice();
  scoped(device, () => {
    fromArray(device, new Float32Array(64).fill(Number.NaN), [64]); // what the next small tensor may be put into
    return undefined;
  });
  const head = fromArray(device, new Uint16Array(36).fill(0x3f80), [9, 4], "bf16");
  const hidden = floats(device, new Float64Array(32).fill(0.5), [1, 8, 4]);
  const tape = new Tape();
  tape.watch(hidden);
  const loss = linearCrossEntropy(tape, hidden, head, targetsOfAll(new Int32Array(8).fill(2)));
  const gradient = await tape
    .backward(loss, floats(device, [scale], [1]))
    .get(hidden)!
    .read();
  for (const value of gradient) expect(Math.abs(value)).toBeLessThan(1e-6);
});

test("the gradient of scores flows through scale and cap", async () => {
  const device = await testDevice();
  const options = { logitScale: 0.5, logitSoftcap: 1.5 };
  const H = floats(device, hidden, [N, d]);
  const tape = new Tape();
  tape.watch(H);
  const y = headLogits(tape, H, floats(device, head, [V, d]), options);
  const dy = randomValues(N * V, 3);
  const gradients = tape.backward(y, floats(device, dy, [N, V]));
  const wanted = centralDifferences((v) => scoresReference(v, head, options), hidden, dy);
  expect(await gradients.get(H)!.read()).toBeClose(wanted, 1e-4);
});

test("without a tape only the loss is computed, and no labels give 0", async () => {
  const device = await testDevice();
  const [H, W] = [floats(device, hidden, [N, d]), floats(device, head, [V, d])];
  expect(await linearCrossEntropy(undefined, H, W, targets).read()).toBeClose([lossReference(hidden, head)]);
  const none = { positions: new Uint32Array(), labels: new Int32Array() };
  expect([...(await linearCrossEntropy(undefined, H, W, none).read())]).toEqual([0]);
});

test("logits never exist all together: memory follows the chunk, not the number of tokens", async () => {
  const device = await testDevice();
  const [rows, width, vocab] = [512, 4, 1000];
  const H = floats(device, randomValues(rows * width, 1), [rows, width]);
  const W = floats(device, randomValues(vocab * width, 2), [vocab, width]);
  const all = Int32Array.from({ length: rows }, (_, i) => i);
  const before = device.memory.stats.used;
  device.memory.resetPeak();
  scoped(device, () => {
    const tape = new Tape();
    tape.watch(H);
    const loss = linearCrossEntropy(tape, H, W, targetsOfAll(all), { logitBytes: 64 * vocab * 4 });
    tape.backward(loss, floats(device, [scale], [1]));
    return undefined;
  });
  expect(device.memory.stats.peak - before).toBeLessThan((rows * vocab * 4) / 4);
});

test("losses compose: each gets the gradient of what is made of it", async () => {
  const device = await testDevice();
  const [H, W] = [floats(device, hidden, [N, d]), floats(device, head, [V, d])];
  const other = { positions: Uint32Array.of(0, 1), labels: Int32Array.of(3, 4) };
  const gradientOf = async (lossOf: (tape: Tape) => Tensor) => {
    const tape = new Tape();
    tape.watch(H);
    return tape.backward(lossOf(tape)).get(H)!.read();
  };
  const first = await gradientOf((tape) => linearCrossEntropy(tape, H, W, targets));
  const second = await gradientOf((tape) => linearCrossEntropy(tape, H, W, other));
  const composed = await gradientOf((tape) =>
    ops.add(
      tape,
      linearCrossEntropy(tape, H, W, targets),
      ops.scale(tape, linearCrossEntropy(tape, H, W, other), -3),
    ),
  );
  expect(composed).toBeClose(first.map((value, i) => value - 3 * second[i]!));
});
