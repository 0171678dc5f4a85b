import { describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { branchGradients } from "../../src/kernels/branch-gradients.ts";
import { emptyPair } from "../../src/kernels/regions.ts";
import { allocateLike, allocateParameters } from "../../src/nn/parameters.ts";
import {
  type BranchSizes,
  branchGradientsReference,
  branchReference,
} from "../reference/branch-gradients.ts";
import { sliceColumnsReference } from "../reference/columns.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { matmulReference } from "../reference/matmul.ts";
import { floats, testDevice } from "../support/device.ts";

const SCALE = 0.5;

test("the reference agrees with central differences", () => {
  const sizes: BranchSizes = { rows: 3, out: 5, r: 2 };
  const [h, B, dy] = [randomValues(6, 1), randomValues(10, 2), randomValues(15, 3)];
  const { dh, dB } = branchGradientsReference({ dy, h, B }, sizes, SCALE);
  const byH = centralDifferences((x) => branchReference(x, B, sizes), h, dy);
  expect(dh).toBeClose(byH.map((value) => SCALE * value));
  expect(dB).toBeClose(centralDifferences((x) => branchReference(h, x, sizes), B, dy));
});

/** Tensors that lie one after another in one buffer, as trainable ones do, with these values. */
function inOneBuffer(device: Device, shapes: readonly [number, number][], seed: number) {
  const parameters = allocateParameters(
    device,
    shapes.map((shape, i) => ({ name: String(i), shape })),
  );
  const write = (tensors: readonly Tensor[], first: number) =>
    tensors.map((tensor, i) => {
      const values = randomValues(tensor.size, first + i);
      tensor.write(Float32Array.from(values));
      return values;
    });
  const tensors = parameters.entries.map(({ tensor }) => tensor);
  const twins = allocateLike(parameters).views;
  const gradients = tensors.map((tensor) => twins.get(tensor) as Tensor);
  return { tensors, values: write(tensors, seed), gradients, before: write(gradients, seed + 50) };
}

interface Case {
  rows: number;
  layers: { out: number; r: number }[];
  /** Columns of h and dh that belong to no layer, before those of the layers. */
  gap?: number;
}

const of = (out: number, r: number) => ({ out, r });
const CASES: Case[] = [
  { rows: 1, layers: [of(4, 1)] },
  { rows: 3, layers: [of(8, 8)] },
  { rows: 127, layers: [of(36, 8), of(132, 8)] },
  { rows: 128, layers: [of(64, 8), of(32, 8), of(32, 8)] },
  { rows: 33, layers: [of(100, 16), of(4, 3), of(40, 9)] },
  { rows: 5, layers: [of(123, 8), of(3, 4)] }, // not in fours: products of their own
  { rows: 40, layers: [of(48, 24), of(48, 8)] }, // too many columns for one dispatch
  { rows: 9, layers: [of(8, 4), of(12, 4), of(16, 4), of(20, 4)] }, // more than a dispatch takes
  { rows: 70, layers: [of(32, 8)], gap: 5 },
];

describe.each(CASES)("$rows rows, layers $layers, gap $gap", ({ rows, layers, gap = 0 }) => {
  test.each([true, false])("all trainable: %s", async (trainable) => {
    const device = await testDevice();
    const cols = gap + layers.reduce((sum, { r }) => sum + r, 0);
    const [h, unwritten] = [randomValues(rows * cols, 1), randomValues(rows * cols, 2)];
    const [H, dh] = [floats(device, h, [rows, cols]), floats(device, unwritten, [rows, cols])];
    const shapes = layers.map(({ out, r }): [number, number] => [out, r]);
    const { tensors, values, gradients, before } = inOneBuffer(device, shapes, 10);
    const dys = layers.map(({ out }, i) => randomValues(rows * out, 30 + i));
    // The first two of three in one buffer, as those of queries and keys are.
    const shape = (i: number) => [rows, layers[i]?.out ?? 0];
    const pair = layers.length === 3 ? emptyPair({ device, dtype: "f32" }, shape(0), shape(1)) : [];
    for (const [i, tensor] of pair.entries()) tensor.write(Float32Array.from(dys[i] ?? []));
    const { dispatches } = device.stream;
    let first = gap;
    const parts = layers.map(({ out, r }, i) => {
      const part = {
        first,
        dy: pair[i] ?? floats(device, dys[i] as Float64Array, [rows, out]),
        B: tensors[i] as Tensor,
      };
      first += r;
      return { ...part, ...((trainable || i > 0) && { dB: gradients[i] as Tensor }) };
    });
    branchGradients(parts, { h: H, dh, scale: SCALE });
    const isEven = layers.every(({ out, r }) => (out | r | gap) % 4 === 0);
    if (device.profile.sharesWork && trainable && isEven && layers.length < 4)
      expect(device.stream.dispatches - dispatches).toBe(1);
    const written = await dh.read();
    expect(sliceColumnsReference(written, cols, [0, gap])).toEqual(
      sliceColumnsReference(unwritten, cols, [0, gap]),
    );
    for (const [i, { out, r }] of layers.entries()) {
      const { first, dB } = parts[i] as (typeof parts)[number];
      const own = sliceColumnsReference(h, cols, [first, first + r]);
      const operands = { dy: dys[i] as Float64Array, h: own, B: values[i] as Float64Array };
      const wanted = branchGradientsReference(operands, { rows, out, r }, SCALE);
      expect(sliceColumnsReference(written, cols, [first, first + r])).toBeClose(wanted.dh);
      const added = wanted.dB.map((value, j) => value + (before[i]?.[j] ?? 0));
      expect(await (gradients[i] as Tensor).read()).toBeClose(dB ? added : (before[i] as Float64Array));
    }
  });
});

/** Three layers with 64 outputs and 8 columns each, on 16 rows; each output in its buffer, or each layer in its own. */
async function threeLayers(apart: boolean) {
  const device = await testDevice();
  const shapes = Array<[number, number]>(3).fill([64, 8]);
  const together = inOneBuffer(device, shapes, 1);
  const own = shapes.map((shape, i) => inOneBuffer(device, [shape], 1 + i));
  const layers = shapes.map((_, i) => ({
    dy: floats(device, randomValues(16 * 64, 20 + i), [16, 64]),
    B: (apart ? own[i]?.tensors[0] : together.tensors[i]) as Tensor,
    dB: (apart ? own[i]?.gradients[0] : together.gradients[i]) as Tensor,
    first: 8 * i,
  }));
  const h = floats(device, randomValues(16 * 24, 30), [16, 24]);
  const dh = floats(device, randomValues(16 * 24, 31), [16, 24]);
  const compute = async () => {
    const { dispatches } = device.stream;
    branchGradients(layers, { h, dh, scale: SCALE });
    const taken = device.stream.dispatches - dispatches;
    const results = await Promise.all([dh, ...layers.map(({ dB }) => dB)].map((tensor) => tensor.read()));
    return { taken, results };
  };
  const { info, profile } = device;
  const fused = info.subgroupSize >= 4 ? 1 : 6;
  return { device, compute, least: profile.sharesWork ? 2 : fused };
}

test("layers of one input take one dispatch; two on GPUs, for dy in three buffers; two each without subgroups", async () => {
  const { compute, least } = await threeLayers(false);
  expect((await compute()).taken).toBe(least);
});

test.each([37, 64])("dA of layers before, of %i tokens, comes along on GPUs", async (tokens) => {
  const device = await testDevice();
  const [r, inputs, rows, out] = [12, 40, 18, 20];
  const { tensors, values, gradients, before } = inOneBuffer(
    device,
    [
      [out, 8],
      [r, inputs],
    ],
    3,
  );
  const [B, dB, dA] = [tensors[0], gradients[0], gradients[1]] as [Tensor, Tensor, Tensor];
  const [x, dy, h] = [
    randomValues(tokens * inputs, 7),
    randomValues(rows * out, 8),
    randomValues(rows * 8, 9),
  ];
  const inner = randomValues(tokens * r, 10);
  const dh = floats(device, new Float64Array(rows * 8), [rows, 8]);
  const { dispatches } = device.stream;
  const layers = [{ dy: floats(device, dy, [rows, out]), B, dB, first: 0 }];
  const H = floats(device, h, [rows, 8]);
  const known = floats(device, inner, [tokens, r]);
  branchGradients(
    layers,
    { h: H, dh, scale: SCALE },
    { dh: known, x: floats(device, x, [tokens, inputs]), dA },
  );
  if (device.profile.sharesWork) expect(device.stream.dispatches - dispatches).toBe(1);
  const operands = { dy, h, B: values[0] as Float64Array };
  const wanted = branchGradientsReference(operands, { rows, out, r: 8 }, SCALE);
  expect(await dh.read()).toBeClose(wanted.dh);
  const added = (sum: Float64Array, i: number) => sum.map((value, j) => value + (before[i]?.[j] ?? 0));
  expect(await dB.read()).toBeClose(added(wanted.dB, 0));
  const sum = matmulReference(inner, x, { m: r, n: inputs, k: tokens, layout: "TN" });
  expect(await dA.read()).toBeClose(added(sum, 1));
});

test("layers in buffers of their own, and more than a binding holds: two dispatches each, the same results", async () => {
  const { results: wanted } = await (await threeLayers(false)).compute();
  const apart = await (await threeLayers(true)).compute();
  expect(apart.taken).toBe(6);
  const { device, compute } = await threeLayers(false);
  const { bindingLimit } = device;
  device.kernels.bindingLimit = 3 * 64 * 8 * 4 - 4; // of all B together, a word less
  const limited = await compute().finally(() => {
    device.kernels.bindingLimit = bindingLimit;
  });
  expect(limited.taken).toBeGreaterThan(1);
  for (const [i, values] of wanted.entries()) {
    expect(apart.results[i]).toBeClose(values);
    expect(limited.results[i]).toBeClose(values);
  }
});
