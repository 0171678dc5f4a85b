import { describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { fromArray } from "../../src/gpu/tensor.ts";
import { castToFloat } from "../../src/kernels/cast.ts";
import { embedding } from "../../src/kernels/embedding.ts";
import { FORMATS } from "../../src/kernels/formats.ts";
import { gatedMatmul, matmul, matmulTogether } from "../../src/kernels/matmul.ts";
import { partsOf, QuantisedWeight } from "../../src/kernels/weight.ts";
import { embeddingReference } from "../reference/embedding.ts";
import { randomValues } from "../reference/gradient.ts";
import { matmulReference } from "../reference/matmul.ts";
import { floats, testDevice } from "../support/device.ts";
import { KINDS, type Kind, nameOf, randomWeight } from "../support/weights.ts";

/** Rows of words that are no multiple of 256 bytes, and more than one block a row. */
const [ROWS, COLUMNS] = [36, 256];
const shape = [ROWS, COLUMNS] as const;

/**
 * A software device takes seconds to compile each kernel, and all of them decode by two functions: one value at a time, as
 * the cast does, or four, as the product of few rows does. These two are tried with every kind, other kernels with these.
 */
const ON_ALL = KINDS.filter(({ format, zeros, scales }) =>
  format === "int4"
    ? zeros === "points"
    : (format === "nf4" && scales) || (format === "int8" && scales === "bf16"),
);

/** The subgroup kernel has a way of its own to read the tables of nf4 and fp4. */
const IN_PRODUCTS = [
  ...ON_ALL,
  ...KINDS.filter(({ format, scales }) => format === "fp4" || (format === "int4" && scales === "superblock")),
];

type Random = ReturnType<typeof randomWeight>;

const named = (kinds: readonly Kind[]) => kinds.map((kind) => [nameOf(kind), kind] as const);

describe.each(named(KINDS))("%s", (_, kind) => {
  test("is decoded", async () => {
    const { weight, values } = randomWeight(await testDevice(), shape, kind);
    expect(await castToFloat(weight).read()).toBeClose(values, 1e-6);
    expect(await castToFloat(weight, 8 * 4 * COLUMNS).read()).toBeClose(values, 1e-6);
  });

  test("few rows", async () => {
    const device = await testDevice();
    const { weight, values } = randomWeight(device, shape, kind);
    const [m, n, k] = [3, ROWS, COLUMNS];
    const a = randomValues(m * k, 1);
    const wanted = matmulReference(a, values, { m, n, k, layout: "NT" });
    const A = floats(device, a, [m, k]);
    expect(await matmul(A, weight, { layout: "NT", variant: "matvec" }).read()).toBeClose(wanted);
  });
});

/** Whether a device multiplies a row by few bits out of textures. */
function readsTextures({ info: { readsTexels, subgroupSize }, profile }: Device): boolean {
  return readsTexels === true && subgroupSize === 8 && !profile.sharesWork;
}

describe.each(named(KINDS))("%s, read again and again", (_, kind) => {
  test.each([1, 2])("%i rows, with a branch, and in windows", async (m) => {
    const device = await testDevice();
    const { weight, values } = randomWeight(device, shape, kind);
    const [n, k, r] = [ROWS, COLUMNS, 3];
    const [a, h, e] = [randomValues(m * k, 1), randomValues(m * r, 3), randomValues(n * r, 4)];
    const A = floats(device, a, [m, k]);
    const extend = { h: floats(device, h, [m, r]), e: floats(device, e, [n, r]) };
    const product = matmulReference(a, values, { m, n, k, layout: "NT" });
    const branch = matmulReference(h, e, { m, n, k: r, layout: "NT" });
    const wanted = product.map((value, i) => 0.5 * value + branch[i]!);
    const options = { layout: "NT", alpha: 0.5, extend } as const;
    const before = device.textures.bytes;
    const first = await matmul(A, weight, options).read();
    expect(first).toBeClose(wanted);
    expect(await matmul(A, weight, options).read()).toEqual(first);
    expect(device.textures.bytes > before).toBe(m === 1 && readsTextures(device));
    const parts = matmul(A, weight, { ...options, windowBytes: windowBytes(kind) });
    expect(await parts.read()).toBeClose(wanted);
    for (const part of partsOf(weight)) device.memory.release(part.storage);
    expect(device.textures.bytes).toBe(before);
  });
});

test.each<[string, Kind, number]>([
  ["blocks that begin within a row", { format: "nf4", block: 64, scales: "nested" }, 96],
  ["half a block at the end of a row", { format: "int8", block: 128 }, 192],
  ["a scale for each row", { format: "int4", block: 96, zeros: "points" }, 96],
  ["a scale for all", { format: "fp8_e4m3", block: 40 * 96 }, 96],
])("several layers of one input, of one row: %s", async (_, kind, k) => {
  const device = await testDevice();
  const rows = [40, 12, 40];
  const parts = rows.map((n, i) => randomWeight(device, [n, k], kind, i + 1));
  const a = randomValues(k, 7);
  const A = floats(device, a, [1, k]);
  const products = parts.map(({ values }, i) =>
    matmulReference(a, values, { m: 1, n: rows[i]!, k, layout: "NT" }),
  );
  const together = matmulTogether(
    A,
    parts.map(({ weight }) => ({ weight })),
  );
  expect(together !== undefined).toBe(readsTextures(device));
  for (const [i, y] of (together ?? []).entries()) expect(await y.read()).toBeClose(products[i]!);
  const [gate, , up] = parts as [(typeof parts)[0], (typeof parts)[0], (typeof parts)[0]];
  const gated = gatedMatmul(A, [{ weight: gate.weight }, { weight: up.weight }], "silu");
  expect(gated !== undefined).toBe(readsTextures(device));
  const wanted = products[0]!.map((value, i) => (value / (1 + Math.exp(-value))) * products[2]![i]!);
  if (gated) expect(await gated.read()).toBeClose(wanted);
});

// As many columns a lane as there are: 16, or 8 of a table's values; the last ones are beyond the last panel.
test.each(
  named([
    { format: "int4", block: 32, scales: "superblock", zeros: "offsets" },
    { format: "int8", block: 64 },
    { format: "nf4", block: 64 },
  ]),
)("a long weight, whole and as a gate: %s", async (_, kind) => {
  const device = await testDevice();
  const [n, k] = [2 * 8 * 131 + 3, 64];
  const [gate, up] = [1, 2].map((seed) => randomWeight(device, [n, k], kind, seed)) as [Random, Random];
  const a = randomValues(k, 7);
  const A = floats(device, a, [1, k]);
  const [g, u] = [gate, up].map(({ values }) => matmulReference(a, values, { m: 1, n, k, layout: "NT" }));
  expect(await matmul(A, gate.weight, { layout: "NT" }).read()).toBeClose(g!);
  const gated = gatedMatmul(A, [{ weight: gate.weight }, { weight: up.weight }], "silu");
  expect(gated !== undefined).toBe(readsTextures(device));
  if (gated) expect(await gated.read()).toBeClose(g!.map((x, i) => (x / (1 + Math.exp(-x))) * u![i]!));
});

describe.each(named(ON_ALL))("%s", (_, kind) => {
  test("rows are looked up", async () => {
    const device = await testDevice();
    const { weight, values } = randomWeight(device, shape, kind);
    const ids = [35, 0, 17, 17, 40];
    const tensor = fromArray(device, Int32Array.from(ids), [ids.length]);
    const wanted = embeddingReference(values, ids, COLUMNS);
    expect(await embedding(weight, tensor).read()).toBeClose(wanted, 1e-6);
    expect(await embedding(weight, tensor, windowBytes(kind)).read()).toBeClose(wanted, 1e-6);
  });
});

describe.each(named(IN_PRODUCTS))("%s", (_, kind) => {
  test.each(["NT", "NN"] as const)("%s with a branch, in windows too", async (layout) => {
    const device = await testDevice();
    const { weight, values } = randomWeight(device, shape, kind);
    const [m, r] = [37, 8];
    const [n, k] = layout === "NT" ? [ROWS, COLUMNS] : [COLUMNS, ROWS];
    const [a, h, e] = [randomValues(m * k, 1), randomValues(m * r, 3), randomValues(n * r, 4)];
    const extend = { h: floats(device, h, [m, r]), e: floats(device, e, layout === "NT" ? [n, r] : [r, n]) };
    const extra = matmulReference(h, e, { m, n, k: r, layout });
    const wanted = matmulReference(a, values, { m, n, k, layout }).map((value, i) => value + extra[i]!);
    const A = floats(device, a, [m, k]);
    // The tiles' kernel takes a minute to compile on a busy SwiftShader: one layout for each kind.
    const tiles = (FORMATS[kind.format].bits === 8) === (layout === "NN") ? (["tile-64"] as const) : [];
    for (const variant of ON_ALL.includes(kind)
      ? (["portable", ...tiles, undefined] as const)
      : [undefined]) {
      const options = { layout, extend, ...(variant && { variant }) };
      expect(await matmul(A, weight, options).read(), variant).toBeClose(wanted);
      const parts = matmul(A, weight, { ...options, windowBytes: windowBytes(kind) });
      expect(await parts.read(), variant).toBeClose(wanted);
    }
  });
});

/** Sixteen rows at a time. */
function windowBytes({ format }: Kind): number {
  return (16 * COLUMNS * FORMATS[format].bits) / 8;
}

// Of bitsandbytes, which counts blocks through the whole matrix; and a scale for each row, or for all.
test.each<[string, Kind, readonly [number, number]]>([
  ["blocks that begin within a row", { format: "nf4", block: 64, scales: "nested" }, [20, 36]],
  ["rows of odd length", { format: "int4", block: 32 }, [9, 7]],
  ["a scale for each row", { format: "int8", block: 36 }, [20, 36]],
  ["a scale for all", { format: "fp8_e4m3", block: 20 * 36 }, [20, 36]],
  [
    "more than 256 blocks with a second scale for each 256",
    { format: "nf4", block: 64, scales: "nested" },
    [200, 128],
  ],
])("%s", async (_, kind, shape) => {
  const device = await testDevice();
  const { weight, values } = randomWeight(device, shape, kind);
  const [n, k] = shape;
  expect(await castToFloat(weight).read()).toBeClose(values, 1e-6);
  // Four rows by the kernel for few where it can; and the gradient of its input.
  for (const [m, layout] of [
    [4, "NT"],
    [9, "NN"],
  ] as const) {
    const [outputs, inputs] = layout === "NT" ? [n, k] : [k, n];
    const a = randomValues(m * inputs, 1);
    const y = matmul(floats(device, a, [m, inputs]), weight, { layout });
    const wanted = matmulReference(a, values, { m, n: outputs, k: inputs, layout });
    expect(await y.read(), layout).toBeClose(wanted);
  }
});

test("words and runs that begin elsewhere in each row", async () => {
  const device = await testDevice();
  const [m, n, k] = [9, 12, 36];
  const { weight, values } = randomWeight(device, [n, k], { format: "int4", block: 8, zeros: "points" });
  const a = randomValues(m * k, 1);
  const y = matmul(floats(device, a, [m, k]), weight, { layout: "NT" });
  expect(await y.read()).toBeClose(matmulReference(a, values, { m, n, k, layout: "NT" }));
});

test.each<Kind>(KINDS.filter(({ format }) => FORMATS[format].bits === 8))(
  "every code of $format",
  async (kind) => {
    const { weight, values } = randomWeight(await testDevice(), [256, 64], kind);
    expect(await castToFloat(weight).read()).toBeClose(values, 1e-6);
  },
);

test("parts that do not belong together are refused, and so is a gradient of the weight", async () => {
  const device = await testDevice();
  const { weight } = randomWeight(device, shape, { format: "int8", block: 64 });
  const a = floats(device, randomValues(ROWS * 4, 1), [ROWS, 4]);
  expect(() => matmul(a, weight, { layout: "TN" })).toThrow("TN: B is int8");
  expect(() => new QuantisedWeight({ ...weight, shape: [37, 256] })).toThrow(
    "weight: 2304 words, 144 of scales and 0 of zero points are no int8 [37,256] in blocks of 64",
  );
  expect(() => new QuantisedWeight({ ...weight, block: 32 })).toThrow("in blocks of 32");
  expect(() => new QuantisedWeight({ ...weight, block: 2 })).toThrow("in blocks of 2");
  expect(() => new QuantisedWeight({ ...weight, block: 128, scaleFormat: "superblock" })).toThrow("no int8");
  expect(() => new QuantisedWeight({ ...weight, format: "bf16" })).toThrow("no bf16");
  expect(() => new QuantisedWeight({ ...weight, zeroFormat: "points" })).toThrow("0 of zero points");
});
