import { expect, test } from "vitest";
import { fromArray, type Tensor } from "../../src/gpu/tensor.ts";
import { emptyPair } from "../../src/kernels/regions.ts";
import { siblingInputGradient, siblingProducts } from "../../src/kernels/sibling-products.ts";
import { allocateParameters } from "../../src/nn/parameters.ts";
import { sliceColumnsReference } from "../reference/columns.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { siblingInputGradientReference, siblingProductsReference } from "../reference/sibling-products.ts";
import { floats, testDevice } from "../support/device.ts";

test("the reference agrees with central differences", () => {
  const sizes = { rows: 3, inputs: 4 };
  const [x, A] = [randomValues(12, 1), randomValues(8, 2)];
  const layers = [5, 2].map((n, i) => ({
    n,
    weight: randomValues(4 * n, 3 + i),
    dy: randomValues(3 * n, 5 + i),
  }));
  const [first] = layers as [(typeof layers)[0]];
  const B = randomValues(10, 9); // of the first layer, r 2
  const h = (x: ArrayLike<number>) =>
    siblingProductsReference(x, [{ n: 2, weight: A }], sizes)[0] as Float64Array;
  const y = (x: ArrayLike<number>) => {
    const branch = { r: 2, B, h: h(x) };
    const ys = siblingProductsReference(x, [{ ...first, branch }, ...layers.slice(1)], sizes);
    return Float64Array.from(ys.flatMap((values) => [...values]));
  };
  const dys = layers.flatMap(({ dy }) => [...dy]);
  const dh = siblingInputGradientReference([{ n: 5, weight: B, dy: first.dy }], undefined, {
    rows: 3,
    inputs: 2,
  });
  const dx = siblingInputGradientReference(layers, { r: 2, dh, A }, sizes);
  expect(centralDifferences(y, x, dys)).toBeClose(dx, 1e-6);
});

interface Case {
  rows: number;
  inputs: number;
  outs: number[];
  ranks: number[];
  dtype: "f32" | "bf16" | "f16";
}

const CASES: Case[] = [
  { rows: 1, inputs: 4, outs: [4, 8], ranks: [0, 0], dtype: "f32" },
  { rows: 37, inputs: 68, outs: [40, 36], ranks: [8, 4], dtype: "bf16" },
  { rows: 70, inputs: 36, outs: [72, 12, 20], ranks: [8, 8, 8], dtype: "bf16" },
  { rows: 33, inputs: 100, outs: [32, 64, 4], ranks: [12, 0, 4], dtype: "f16" },
];

/** Values that the format has, and their codes. */
function weightOf(count: number, seed: number, dtype: Case["dtype"]) {
  // Small whole numbers: exact in every format.
  const values = randomValues(count, seed).map((value) => Math.round(8 * value));
  if (dtype === "f32") return { values, codes: Float32Array.from(values) };
  const words = new Uint32Array(Float32Array.from(values).buffer);
  const bf16 = Uint16Array.from(words, (word) => word >>> 16);
  const f16 = Uint16Array.from(values, (value) => {
    if (value === 0) return 0;
    const exponent = Math.floor(Math.log2(Math.abs(value)));
    const mantissa = Math.round((Math.abs(value) / 2 ** exponent - 1) * 1024);
    return (value < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | mantissa;
  });
  return { values, codes: dtype === "bf16" ? bf16 : f16 };
}

test.each(CASES)("$rows × $inputs to $outs, r $ranks, $dtype: both ways", async (sizes) => {
  const { rows, inputs, outs, ranks, dtype } = sizes;
  const device = await testDevice();
  const r = ranks.reduce((sum, rank) => sum + rank, 0);
  const hasBranch = r > 0;
  const [x, h, A] = [randomValues(rows * inputs, 1), randomValues(rows * r, 2), randomValues(r * inputs, 3)];
  const wanted = outs.map((out, i) => ({ out, rank: ranks[i] ?? 0 }));
  const { entries } = allocateParameters(
    device,
    wanted.map(({ out, rank }, i) => ({ name: `B${i}`, shape: [out, Math.max(rank, 1)] })),
  );
  let first = 0;
  const layers = wanted.map(({ out, rank }, i) => {
    const { values, codes } = weightOf(out * inputs, 10 + i, dtype);
    const B = randomValues(out * rank, 20 + i);
    const tensor = entries[i]?.tensor as Tensor;
    if (rank > 0) tensor.write(Float32Array.from(B));
    const own = hasBranch ? sliceColumnsReference(h, r, [first, first + rank]) : [];
    const branch = rank > 0 ? { branch: { r: rank, B, h: own } } : {};
    const layer = {
      weight: fromArray(device, codes, [out, inputs], dtype),
      first,
      ...(rank > 0 && { B: tensor }),
    };
    first += rank;
    return { layer, arrays: { n: out, weight: values, ...branch } };
  });
  const X = floats(device, x, [rows, inputs]);
  const H = hasBranch ? floats(device, h, [rows, r]) : undefined;
  const { dispatches } = device.stream;
  const ys = siblingProducts(
    X,
    layers.map(({ layer }) => layer),
    H,
  );
  if (!device.profile.sharesWork) {
    expect(ys).toBeUndefined(); // rasterisers have products of their own
    return;
  }
  expect(device.stream.dispatches - dispatches).toBe(1);
  const references = siblingProductsReference(
    x,
    layers.map(({ arrays }) => arrays),
    sizes,
  );
  for (const [i, y] of ys?.entries() ?? []) expect(await y.read()).toBeClose(references[i] as Float64Array);

  const dys = outs.map((out, i) => randomValues(rows * out, 30 + i));
  const shape = (i: number) => [rows, outs[i] ?? 0];
  const pair = outs.length === 3 ? emptyPair({ device, dtype: "f32" }, shape(0), shape(1)) : [];
  for (const [i, tensor] of pair.entries()) tensor.write(Float32Array.from(dys[i] ?? []));
  const given = layers.map(({ layer: { weight } }, i) => ({
    weight,
    dy: pair[i] ?? floats(device, dys[i] as Float64Array, shape(i)),
  }));
  const branch = H && { dh: H, A: floats(device, A, [r, inputs]) };
  const dx = siblingInputGradientReference(
    layers.map(({ arrays }, i) => ({ ...arrays, dy: dys[i] as Float64Array })),
    hasBranch ? { r, dh: h, A } : undefined,
    sizes,
  );
  expect(await siblingInputGradient(given, branch)?.read()).toBeClose(dx);
  const start = randomValues(rows * inputs, 40);
  const into = floats(device, start, [rows, inputs]);
  expect(siblingInputGradient(given, branch, into)).toBe(into);
  expect(await into.read()).toBeClose(dx.map((value, i) => value + (start[i] as number)));
});

test("large products, one alone, lengths that are not in fours, and dy in three buffers go other ways", async () => {
  const device = await testDevice();
  const layer = (n: number, inputs: number) => ({
    weight: floats(device, new Float64Array(n * inputs), [n, inputs]),
    first: 0,
  });
  const x = (rows: number, inputs: number) => floats(device, new Float64Array(rows * inputs), [rows, inputs]);
  expect(siblingProducts(x(2048, 256), [layer(512, 256), layer(512, 256)])).toBeUndefined();
  expect(siblingProducts(x(8, 64), [layer(64, 64)])).toBeUndefined();
  expect(siblingProducts(x(8, 6), [layer(8, 6), layer(8, 6)])).toBeUndefined();
  const narrow = [layer(576, 576), layer(192, 576), layer(192, 576)];
  expect(siblingProducts(x(1024, 576), narrow, undefined, 0.8)).toBeUndefined(); // hardly faster
  expect(siblingProducts(x(128, 576), narrow, undefined, 0.8) !== undefined).toBe(device.profile.sharesWork);
  const three = [1, 2, 3].map(() => ({ ...layer(8, 8), dy: x(4, 8) }));
  expect(siblingInputGradient(three)).toBeUndefined();
});
