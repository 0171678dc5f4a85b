import { describe, expect, test } from "vitest";
import { targetsOfAll } from "../../src/autograd/loss.ts";
import * as ops from "../../src/autograd/ops.ts";
import { pairLoss } from "../../src/autograd/preference-loss.ts";
import { Tape } from "../../src/autograd/tape.ts";
import { sumSegments, tokenLosses } from "../../src/autograd/token-losses.ts";
import { empty, fromArray, type Tensor } from "../../src/gpu/tensor.ts";
import { crossEntropyReference } from "../reference/cross-entropy.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { matmulReference } from "../reference/matmul.ts";
import { pairLossReference } from "../reference/preference.ts";
import { type Range, segmentSumsReference } from "../reference/segments.ts";
import { floats, testDevice } from "../support/device.ts";

const [N, d, V] = [150, 4, 26]; // 100 of the rows have a label: two chunks of 64
const hidden = randomValues(N * d, 1);
const head = randomValues(V * d, 2);
const positions = Uint32Array.from({ length: N }, (_, i) => i).filter((i) => i % 3 !== 0);
const labels = Int32Array.from(positions, (at) => (at * 7) % V);
const ranges: Range[] = [
  [0, 30],
  [30, 80],
  [80, 100],
  [20, 100],
];
const factors = Float64Array.of(-1, -0.02, 0.5, 0.0125);
const dy = randomValues(ranges.length, 3);

function scoresReference(hidden: ArrayLike<number>, head: ArrayLike<number>) {
  const rows = Float64Array.from({ length: positions.length * d }, (_, i) => {
    return hidden[positions[Math.floor(i / d)]! * d + (i % d)] as number;
  });
  return matmulReference(rows, head, { m: positions.length, n: V, k: d, layout: "NT" });
}

describe.each([
  { logitBytes: 2 ** 20, logitSoftcap: 0 },
  { logitBytes: 64 * V * 4, logitSoftcap: 0 },
  { logitBytes: 64 * V * 4, logitSoftcap: 3 },
])("scores of sequences, $logitBytes bytes, cap $logitSoftcap", ({ logitBytes, logitSoftcap }) => {
  const sumsReference = (hidden: ArrayLike<number>, head: ArrayLike<number>) =>
    segmentSumsReference(
      crossEntropyReference(scoresReference(hidden, head), labels, logitSoftcap),
      ranges,
      factors,
    );

  test("sums, means and gradients of hidden states and head", async () => {
    const device = await testDevice();
    const [H, W] = [floats(device, hidden, [2, N / 2, d]), floats(device, head, [V, d])];
    const tape = new Tape();
    for (const leaf of [H, W]) tape.watch(leaf);
    const means = empty(device, [labels.length]);
    const scoresOf = (rows: Tensor, tape: Tape | undefined) => ops.linear(tape, rows, W);
    const options = { classes: V, logitBytes, logitSoftcap, means };
    const windows = tokenLosses(tape, H, { positions, labels }, scoresOf, options);
    const segments = {
      ranges: fromArray(device, Uint32Array.from(ranges.flat()), [ranges.length, 2]),
      factors: floats(device, factors, [ranges.length]),
    };
    const sums = sumSegments(tape, windows, segments);
    expect(await sums.read()).toBeClose(sumsReference(hidden, head));
    const gradients = tape.backward(sums, floats(device, dy, [ranges.length]));
    const wanted = [
      centralDifferences((v) => sumsReference(v, head), hidden, dy),
      centralDifferences((v) => sumsReference(hidden, v), head, dy),
    ];
    expect(await gradients.get(H)!.read()).toBeClose(wanted[0]!, 1e-4);
    expect(await gradients.get(W)!.read()).toBeClose(wanted[1]!, 1e-4);
    const scores = scoresReference(hidden, head).map((x) =>
      logitSoftcap === 0 ? x : logitSoftcap * Math.tanh(x / logitSoftcap),
    );
    const mean = (_: unknown, row: number) =>
      scores.slice(row * V, (row + 1) * V).reduce((a, b) => a + b) / V;
    expect(await means.read()).toBeClose(Float64Array.from(labels, mean));
  });
});

test("a label that the head has no score for is refused", async () => {
  const H = floats(await testDevice(), hidden, [N, d]);
  const targets = targetsOfAll(new Int32Array(N).fill(V));
  expect(() => tokenLosses(undefined, H, targets, (rows) => rows, { classes: V })).toThrow(
    "label 26 is outside",
  );
});

test("a preference loss hands dy on, and adds up what it measures", async () => {
  const device = await testDevice();
  const values = randomValues(6, 4, 3);
  const given = randomValues(6, 5, 3);
  const options = {
    ...({
      loss: "sigmoid",
      weight: 1,
      beta: 0.4,
      smoothing: 0,
      shift: 0,
      tau: 1,
      center: 0,
      nll: 0,
    } as const),
  };
  const losses = (policy: ArrayLike<number>) => [
    [0, 1, 2].reduce((sum, i) => {
      const of = (list: ArrayLike<number>) => [list[i], list[3 + i]] as [number, number];
      return sum + pairLossReference(...of(policy), of(given), [1, 1], options);
    }, 0),
  ];
  const [policy, reference] = [floats(device, values, [6]), floats(device, given, [6])];
  const tape = new Tape();
  tape.watch(policy);
  const scores = { policy, reference, tokens: reference, logits: reference };
  const { loss, measured } = pairLoss(tape, scores, [options]);
  expect(await loss.read()).toBeClose(losses(values));
  expect((await measured.read())[12]).toBe(3);
  const gradient = tape.backward(loss, floats(device, [-2.5], [1])).get(policy)!;
  expect(await gradient.read()).toBeClose(centralDifferences(losses, values, [-2.5]), 1e-4);
});
