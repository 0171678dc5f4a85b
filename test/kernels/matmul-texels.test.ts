import { expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { fromArray } from "../../src/gpu/tensor.ts";
import { convert } from "../../src/kernels/elementwise.ts";
import { type Layout, matmul } from "../../src/kernels/matmul.ts";
import { randomValues } from "../reference/gradient.ts";
import { floats, testDevice } from "../support/device.ts";

/** Whether large products of f32 are computed out of textures. */
const usesTextures = ({ info, profile }: Device) =>
  info.readsTexels === true && !profile.sharesWork && info.subgroupSize === 8;

/** Out of textures it is the same to the last bit; elsewhere few rows may be added up in another order. */
function expectSame(device: Device, got: Float64Array | Float32Array, wanted: Float64Array | Float32Array) {
  if (usesTextures(device)) expect(got).toEqual(wanted);
  else expect(got).toBeClose(wanted);
}

const aShape = (layout: Layout, m: number, k: number) => (layout === "TN" ? [k, m] : [m, k]);
const bShape = (layout: Layout, n: number, k: number) => (layout === "NT" ? [n, k] : [k, n]);

/** Rows of A [m, k] as a matrix of their own. */
const rowsOf = (x: Float32Array | Float64Array, cols: number, [start, end]: readonly [number, number]) =>
  x.slice(start * cols, end * cols);

const [m, n] = [340, 356];
const rows = [320, 340] as const; // so few that they are computed out of buffers

// The kernels add up in the same order.
test.each<{ layout: "NN" | "NT"; k: number }>([
  { layout: "NN", k: 36 },
  { layout: "NT", k: 36 },
  { layout: "NT", k: 4 },
])("$layout, k $k: each bit is that of few rows of it, branch, factor and all", async ({ layout, k }) => {
  const device = await testDevice();
  const r = 5;
  const [a, b] = [randomValues(m * k, 1), floats(device, randomValues(n * k, 2), bShape(layout, n, k))];
  const [h, e] = [randomValues(m * r, 3), floats(device, randomValues(n * r, 4), bShape(layout, n, r))];
  const before = randomValues(m * n, 5);
  const product = ([start, end]: readonly [number, number]) => {
    const part = (x: Float64Array, cols: number) =>
      floats(device, rowsOf(x, cols, [start, end]), [end - start, cols]);
    const extend = { h: part(h, r), e };
    return matmul(part(a, k), b, { layout, alpha: 0.5, into: part(before, n), extend }).read();
  };
  const whole = await product([0, m]);
  expectSame(device, rowsOf(whole, n, rows), await product(rows));
  expect(device.textures.scratchBytes > 0).toBe(usesTextures(device));
});

test("TN: each bit is that of few rows of it, over a number of tokens that is no multiple of four", async () => {
  const device = await testDevice();
  const k = 23;
  const [a, b] = [randomValues(m * k, 1), floats(device, randomValues(n * k, 2), [k, n])];
  const A = floats(device, a, [k, m]);
  const whole = await matmul(A, b, { layout: "TN" }).read();
  const few = { of: A, first: rows[0], count: rows[1] - rows[0] };
  expectSame(device, rowsOf(whole, n, rows), await matmul(few, b, { layout: "TN" }).read());
});

test("columns of wider matrices", async () => {
  const device = await testDevice();
  const k = 8;
  const wide = floats(device, randomValues(m * 20, 1), [m, 20]);
  const b = floats(device, randomValues(n * k, 2), [n, k]);
  const a = { of: wide, first: 8, count: k };
  const out = {
    of: fromArray(device, new Float32Array(m * (n + 8)).fill(7), [m, n + 8]),
    first: 4,
    count: n,
  };
  const got = await matmul(a, b, { layout: "NT", out }).read();
  const wanted = await matmul(a, b, { layout: "NT" }).read();
  const isInside = (i: number) => i % (n + 8) >= 4 && i % (n + 8) < n + 4;
  expect(got.filter((_, i) => isInside(i))).toEqual(wanted);
  expect(got.filter((_, i) => !isInside(i)).every((value) => value === 7)).toBe(true);
});

test("a large A goes through its texture in parts", async () => {
  const device = await testDevice();
  const [tall, k] = [80_000, 108];
  const a = randomValues(tall * k, 1);
  const b = floats(device, randomValues(164 * k, 2), [164, k]);
  const whole = await matmul(floats(device, a, [tall, k]), b, { layout: "NT" }).read();
  for (const part of [
    [0, 20],
    [77_300, 77_320],
    [79_980, tall],
  ] as const) {
    const few = floats(device, rowsOf(a, k, part), [part[1] - part[0], k]);
    expectSame(device, rowsOf(whole, 164, part), await matmul(few, b, { layout: "NT" }).read());
  }
});

test.each(["NN", "TN"] as const)("%s of activations in f16, where a device has it", async (layout) => {
  const device = await testDevice();
  if (!device.info.f16) return;
  const k = 36;
  const a = convert(floats(device, randomValues(m * k, 1), aShape(layout, m, k)), "f16");
  const b = floats(device, randomValues(n * k, 2), bShape(layout, n, k));
  const wanted = await matmul(convert(a, "f32"), b, { layout }).read();
  expectSame(device, await matmul(a, b, { layout, dtype: "f32" }).read(), wanted);
  const rounded = await convert(matmul(a, b, { layout, dtype: "f16" }), "f32").read();
  expect(rounded).toBeClose(wanted, 2 ** -11);
});

test("the textures are the same ones each time, and larger where a product needs it", async () => {
  const device = await testDevice();
  if (!usesTextures(device)) return;
  device.textures.clear();
  const product = (k: number) => {
    const [a, b] = [
      floats(device, randomValues(m * k, 1), [m, k]),
      floats(device, randomValues(n * k, 2), [n, k]),
    ];
    return matmul(a, b, { layout: "NT" }).read();
  };
  const first = await product(64);
  const { bytes } = device.textures;
  expect(device.memory.stats.used).toBeGreaterThanOrEqual(bytes);
  await product(16);
  expect(device.textures.bytes).toBe(bytes);
  await product(512);
  expect(device.textures.bytes).toBeGreaterThan(bytes);
  expect(await product(64)).toEqual(first);
  device.textures.clear();
  expect(device.textures.bytes).toBe(0);
});
