import { describe, expect, test } from "vitest";
import * as encoderOps from "../../src/autograd/encoder-ops.ts";
import * as ops from "../../src/autograd/ops.ts";
import { Tape } from "../../src/autograd/tape.ts";
import { fromArray, type Tensor } from "../../src/gpu/tensor.ts";
import { activationReference } from "../reference/activation.ts";
import { columnScaleReference } from "../reference/column-scale.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { layerNormReference } from "../reference/layer-norm.ts";
import { patchesReference } from "../reference/patches.ts";
import { maxPoolReference, meanPoolReference, type Range } from "../reference/pooling.ts";
import { floats, testDevice } from "../support/device.ts";

const shape = [2, 3, 8] as const;
const x = randomValues(48, 1);
const w = randomValues(8, 2);
const b = randomValues(8, 3);
const picked = [4, 0, 3];

interface Case {
  run(tape: Tape | undefined, X: Tensor): Tensor;
  reference(x: ArrayLike<number>): Float64Array;
}

const index = (X: Tensor) => fromArray(X.device, Uint32Array.from(picked), [3]);
const rows = (x: ArrayLike<number>) =>
  Float64Array.from({ length: 24 }, (_, i) => x[picked[Math.floor(i / 8)]! * 8 + (i % 8)] as number);
const documents: readonly Range[] = [
  [0, 2],
  [3, 3],
];
const ranges = (X: Tensor) => fromArray(X.device, Uint32Array.from(documents.flat()), [2, 2]);

const cases: Record<string, Case> = {
  scale: {
    run: (tape, X) => ops.scale(tape, X, -2.5),
    reference: (x) => Float64Array.from(x, (v) => -2.5 * v),
  },
  activate: {
    run: (tape, X) => encoderOps.activate(tape, X, "gelu"),
    reference: (x) => activationReference(x, "gelu"),
  },
  layerNorm: {
    run: (tape, X) =>
      ops.layerNorm(
        tape,
        X,
        { weight: floats(X.device, w, [8]), bias: floats(X.device, b, [8]) },
        { eps: 1e-5 },
      ),
    reference: (x) => layerNormReference(x, w, b, 1e-5),
  },
  scaleColumns: {
    run: (tape, X) => ops.scaleColumns(tape, X, floats(X.device, w, [8])),
    reference: (x) => columnScaleReference(x, w),
  },
  gatherRows: { run: (tape, X) => ops.gatherRows(tape, X, index(X)), reference: rows },
  scatterRows: {
    run: (tape, X) => ops.scatterRows(tape, ops.gatherRows(tape, X, index(X)), index(X), 6),
    reference(x) {
      const y = new Float64Array(48);
      for (const row of picked) for (let c = 0; c < 8; c++) y[row * 8 + c] = x[row * 8 + c] as number;
      return y;
    },
  },
  meanPool: {
    run: (tape, X) => encoderOps.meanPool(tape, X, ranges(X)),
    reference: (x) => meanPoolReference(x, 8, documents),
  },
  maxPool: {
    run: (tape, X) => encoderOps.maxPool(tape, X, ranges(X)),
    reference: (x) => maxPoolReference(x, 8, documents),
  },
  patches: {
    run: (tape, X) => encoderOps.patches(tape, X.reshape([1, 3, 4, 4]), 2),
    reference: (x) => patchesReference(x, [1, 3, 4, 4], 2),
  },
};

describe.each(Object.entries(cases))("%s", (_, { run, reference }) => {
  test("its gradient, alone and where the input is used twice", async () => {
    const X = floats(await testDevice(), x, shape);
    const dy = randomValues(reference(x).length, 4);
    const wanted = centralDifferences(reference, x, dy);
    const tape = new Tape();
    tape.watch(X);
    const y = run(tape, X);
    const gradients = tape.backward(y, floats(X.device, dy, y.shape));
    expect(await gradients.get(X)!.read()).toBeClose(wanted, 1e-4);

    const both = new Tape();
    both.watch(X);
    const sum = ops.add(both, run(both, X), run(both, X));
    const doubled = both.backward(sum, floats(X.device, dy, sum.shape));
    expect(await doubled.get(X)!.read()).toBeClose(
      wanted.map((g) => 2 * g),
      1e-4,
    );
  });
});

test("the weight and bias of a layer norm get their gradients", async () => {
  const device = await testDevice();
  const [X, W, B] = [floats(device, x, shape), floats(device, w, [8]), floats(device, b, [8])];
  const dy = randomValues(48, 4);
  const tape = new Tape();
  for (const leaf of [W, B]) tape.watch(leaf);
  const y = ops.layerNorm(tape, X, { weight: W, bias: B }, { eps: 1e-5 });
  const gradients = tape.backward(y, floats(device, dy, shape));
  const reference = (w: ArrayLike<number>, b: ArrayLike<number>) => layerNormReference(x, w, b, 1e-5);
  expect(await gradients.get(W)!.read()).toBeClose(centralDifferences((v) => reference(v, b), w, dy));
  expect(await gradients.get(B)!.read()).toBeClose(centralDifferences((v) => reference(w, v), b, dy));
});

test("factors of columns get their gradient", async () => {
  const device = await testDevice();
  const [X, W] = [floats(device, x, shape), floats(device, w, [8, 1])];
  const dy = randomValues(48, 4);
  const tape = new Tape();
  tape.watch(W);
  const y = ops.scaleColumns(tape, X, W);
  const gradients = tape.backward(y, floats(device, dy, shape));
  const gradient = gradients.get(W)!;
  expect(await gradient.read()).toBeClose(centralDifferences((v) => columnScaleReference(x, v), w, dy));
});
