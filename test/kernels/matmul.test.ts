import { describe, expect, test } from "vitest";
import { fromArray } from "../../src/gpu/tensor.ts";
import { type Layout, type MatmulVariant, matmul } from "../../src/kernels/matmul.ts";
import { sliceLength } from "../../src/kernels/matmul-tile.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { matmulReference } from "../reference/matmul.ts";
import { floats, testDevice } from "../support/device.ts";

const sizes = [
  { m: 1, n: 1, k: 1 },
  { m: 3, n: 127, k: 5 },
  { m: 5, n: 123, k: 64 },
  { m: 1, n: 131, k: 64 },
  { m: 37, n: 68, k: 44 },
  { m: 16, n: 32, k: 16 },
  { m: 33, n: 36, k: 128 },
];
const layouts: Layout[] = ["NN", "NT", "TN"];

const aShape = (layout: Layout, m: number, k: number) => (layout === "TN" ? [k, m] : [m, k]);
const bShape = (layout: Layout, n: number, k: number) => (layout === "NT" ? [n, k] : [k, n]);

/** A product made anew, and half of it added to what is there. */
async function checkProduct(
  { layout, m, n, k }: { layout: Layout; m: number; n: number; k: number },
  variant?: MatmulVariant,
) {
  const device = await testDevice();
  const [a, b, start] = [randomValues(m * k, 1), randomValues(n * k, 2), randomValues(m * n, 3)];
  const [A, B] = [floats(device, a, aShape(layout, m, k)), floats(device, b, bShape(layout, n, k))];
  const wanted = matmulReference(a, b, { m, n, k, layout });
  const options = { layout, ...(variant && { variant }) };
  expect(await matmul(A, B, options).read()).toBeClose(wanted);
  const into = floats(device, start, [m, n]);
  const sum = await matmul(A, B, { ...options, into, alpha: 0.5 }).read();
  expect(sum).toBeClose(wanted.map((value, i) => 0.5 * value + start[i]!));
  return { A, B, wanted };
}

describe.each(layouts)("matmul %s", (layout) => {
  test.each(sizes)("$m×$n×$k", async ({ m, n, k }) => {
    await checkProduct({ layout, m, n, k });
  });

  test("the products of a gradient are the transposed layouts", async () => {
    const [m, n, k] = [6, 8, 12];
    const device = await testDevice();
    const [a, b, dc] = [randomValues(m * k, 1), randomValues(n * k, 2), randomValues(m * n, 3)];
    const problem = { m, n, k, layout } as const;
    const A = floats(device, a, aShape(layout, m, k));
    const B = floats(device, b, bShape(layout, n, k));
    const dC = floats(device, dc, [m, n]);
    const dA = {
      NN: () => matmul(dC, B, { layout: "NT" }),
      NT: () => matmul(dC, B, { layout: "NN" }),
      TN: () => matmul(B, dC, { layout: "NT" }),
    };
    const dB = {
      NN: () => matmul(A, dC, { layout: "TN" }),
      NT: () => matmul(dC, A, { layout: "TN" }),
      TN: () => matmul(A, dC, { layout: "NN" }),
    };
    expect(await dA[layout]().read()).toBeClose(
      centralDifferences((v) => matmulReference(v, b, problem), a, dc),
      1e-5,
    );
    expect(await dB[layout]().read()).toBeClose(
      centralDifferences((v) => matmulReference(a, v, problem), b, dc),
      1e-5,
    );
  });
});

test("a vocabulary of more columns than one side of a grid has workgroups", async () => {
  // Sixteen lanes share a column where that pays: four columns a workgroup.
  const [m, n, k] = [2, 4 * 65_536 + 4, 4];
  const device = await testDevice();
  const [a, b] = [randomValues(m * k, 1), randomValues(n * k, 2)];
  const y = matmul(floats(device, a, [m, k]), floats(device, b, [n, k]), { layout: "NT", variant: "matvec" });
  expect(await y.read()).toBeClose(matmulReference(a, b, { m, n, k, layout: "NT" }));
});

/** Edges inside a tile and beyond one, sums longer than a stage, the shapes of a LoRA branch. */
const variantSizes = [
  { m: 4, n: 4, k: 4 },
  { m: 68, n: 132, k: 36 },
  { m: 132, n: 8, k: 40 },
  { m: 8, n: 72, k: 20 },
  { m: 140, n: 16, k: 64 },
];

describe.each<MatmulVariant>(["portable", "subgroup", "tile-64", "tile-128"])("variant %s", (variant) => {
  test.each(layouts)("%s", async (layout) => {
    const device = await testDevice();
    if (variant === "subgroup" && device.info.subgroupSize === 0) return; // the floor has none
    for (const { m, n, k } of variantSizes) {
      await checkProduct({ layout, m, n, k }, variant);
    }
  });

  test.each(["NT", "NN"] as const)("%s with a branch and words", async (layout) => {
    const device = await testDevice();
    if (variant === "subgroup" && device.info.subgroupSize === 0) return;
    const [m, n, k, r] = [70, 132, 36, 8];
    const { bits, values } = halfWeights(n * k, "bf16");
    const [a, h, e] = [randomValues(m * k, 1), randomValues(m * r, 3), randomValues(n * r, 4)];
    const W = fromArray(device, bits, bShape(layout, n, k), "bf16");
    const extend = { h: floats(device, h, [m, r]), e: floats(device, e, bShape(layout, n, r)) };
    const extra = matmulReference(h, e, { m, n, k: r, layout });
    const wanted = matmulReference(a, values, { m, n, k, layout }).map((value, i) => value + extra[i]!);
    const A = floats(device, a, [m, k]);
    expect(await matmul(A, W, { layout, variant, extend }).read()).toBeClose(wanted);
    const windowBytes = 34 * 2 * (layout === "NT" ? k : n);
    expect(await matmul(A, W, { layout, variant, extend, windowBytes }).read()).toBeClose(wanted);
  });
});

test("sums over any number of tokens: a weight's gradient", async () => {
  const device = await testDevice();
  const [m, n, k] = [40, 36, 127];
  const [a, b] = [randomValues(m * k, 1), randomValues(n * k, 2)];
  const wanted = matmulReference(a, b, { m, n, k, layout: "TN" });
  for (const variant of ["portable", "subgroup", "tile-64"] as const) {
    if (variant === "subgroup" && device.info.subgroupSize === 0) continue;
    const got = matmul(floats(device, a, [k, m]), floats(device, b, [k, n]), { layout: "TN", variant });
    expect(await got.read()).toBeClose(wanted);
  }
});

// A block or a few, with a sum that several layers of workgroups share.
describe.each(["tile-64", "tile-128"] as const)("%s in slices", (variant) => {
  test.each<{ layout: Layout; m: number; n: number; k: number }>([
    { layout: "TN", m: 8, n: 72, k: 1000 },
    { layout: "NN", m: 70, n: 8, k: 516 },
    { layout: "NT", m: 132, n: 5, k: 260 },
  ])("$layout $m×$n×$k", async ({ layout, m, n, k }) => {
    expect(sliceLength({ m, n, k }, 128)).toBeLessThan(k / 2 + 32);
    const device = await testDevice();
    const { A, B, wanted } = await checkProduct({ layout, m, n, k }, variant);
    const whole = fromArray(device, new Float32Array(m * 16).fill(7), [m, 16]);
    if (n === 8) {
      const out = { of: whole, first: 4, count: n };
      const wide = await matmul(A, B, { layout, variant, out }).read();
      expect(wide.filter((_, i) => i % 16 >= 4 && i % 16 < 12)).toBeClose(wanted);
      expect(wide.filter((_, i) => i % 16 < 4 || i % 16 >= 12).every((value) => value === 7)).toBe(true);
    }
    if (layout === "TN") return;
    const [h, e] = [randomValues(m * 4, 4), randomValues(n * 4, 5)];
    const extend = { h: floats(device, h, [m, 4]), e: floats(device, e, bShape(layout, n, 4)) };
    const branch = matmulReference(h, e, { m, n, k: 4, layout });
    const extended = await matmul(A, B, { layout, variant, extend }).read();
    expect(extended).toBeClose(wanted.map((value, i) => value + branch[i]!)); // once, not in every slice
  });
});

test("a variant that cannot compute a product is refused by name", async () => {
  const device = await testDevice();
  const [A, B] = [floats(device, [1, 2, 3], [1, 3]), floats(device, [1, 2, 3], [1, 3])];
  expect(() => matmul(A, B, { layout: "NT", variant: "tile-64" })).toThrow(
    "tile-64 cannot compute 1×1×3 here",
  );
});

/** Weights as 16-bit words, with the values that they stand for. */
function halfWeights(count: number, dtype: "bf16" | "f16"): { bits: Uint16Array; values: Float64Array } {
  const bits = new Uint16Array(count);
  const values = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    // Small exact numbers: sign, one of four exponents around 1, two bits of mantissa.
    const [sign, exponent, mantissa] = [(i * 7) % 2, (i * 5) % 4, (i * 3) % 4];
    bits[i] =
      (sign << 15) |
      (dtype === "bf16"
        ? ((125 + exponent) << 7) | (mantissa << 5)
        : ((13 + exponent) << 10) | (mantissa << 8));
    values[i] = (sign ? -1 : 1) * 2 ** (exponent - 2) * (1 + mantissa / 4);
  }
  return { bits, values };
}

// CPU rasterisers get a copy of A whose rows lie further apart.
test.each(["NN", "NT"] as const)("%s with rows of 4096 bytes, in windows too", async (layout) => {
  const [m, n, k] = [256, 256, 1024];
  const device = await testDevice();
  const [a, b] = [randomValues(m * k, 1), randomValues(n * k, 2)];
  const [A, B] = [floats(device, a, [m, k]), floats(device, b, bShape(layout, n, k))];
  const wanted = matmulReference(a, b, { m, n, k, layout });
  expect(await matmul(A, B, { layout }).read()).toBeClose(wanted);
  expect(await matmul(A, B, { layout, windowBytes: (B.byteLength * 3) / 4 }).read()).toBeClose(wanted);
});

describe.each(["bf16", "f16"] as const)("%s weights", (dtype) => {
  test.each([
    { m: 5, n: 12, k: 20 },
    { m: 2, n: 9, k: 20 },
    { m: 3, n: 7, k: 10 },
    { m: 20, n: 40, k: 36 },
  ])("$m×$n×$k", async ({ m, n, k }) => {
    const device = await testDevice();
    const { bits, values } = halfWeights(n * k, dtype);
    for (const layout of ["NT", "NN"] as const) {
      const a = randomValues(m * k, 1);
      const W = fromArray(device, bits, bShape(layout, n, k), dtype);
      const wanted = matmulReference(a, values, { m, n, k, layout });
      expect(await matmul(floats(device, a, [m, k]), W, { layout }).read()).toBeClose(wanted);
    }
  });
});

describe("weights above the binding limit are bound in row windows", () => {
  test.each(["NT", "NN", "TN"] as const)("%s", async (layout) => {
    const [m, n, k, r] = [9, 192, 192, 4];
    const device = await testDevice();
    const [a, b, h, e] = [
      randomValues(m * k, 1),
      randomValues(n * k, 2),
      randomValues(m * r, 3),
      randomValues(n * r, 4),
    ];
    const A = floats(device, a, aShape(layout, m, k));
    const B = floats(device, b, bShape(layout, n, k));
    const extend = { h: floats(device, h, [m, r]), e: floats(device, e, bShape(layout, n, r)) };
    const withExtra = layout === "TN" ? {} : { extend };
    const rowBytes = 4 * (layout === "NT" ? k : n);
    const got = await matmul(A, B, { layout, ...withExtra, windowBytes: 70 * rowBytes }).read();
    const extra = layout === "TN" ? new Float64Array(m * n) : matmulReference(h, e, { m, n, k: r, layout });
    expect(got).toBeClose(matmulReference(a, b, { m, n, k, layout }).map((value, i) => value + extra[i]!));
  });
});

describe("fused LoRA linear: alpha A op(B) + H op(E)", () => {
  test.each([
    { m: 5, n: 24, k: 16, r: 8 },
    { m: 4, n: 7, k: 5, r: 3 },
    { m: 2, n: 70, k: 8, r: 3 },
    { m: 70, n: 64, k: 32, r: 4 },
  ])("$m×$n×$k r $r", async ({ m, n, k, r }) => {
    const device = await testDevice();
    const [a, b, h, e] = [
      randomValues(m * k, 1),
      randomValues(n * k, 2),
      randomValues(m * r, 3),
      randomValues(n * r, 4),
    ];
    for (const layout of ["NT", "NN"] as const) {
      const extend = { h: floats(device, h, [m, r]), e: floats(device, e, bShape(layout, n, r)) };
      const got = matmul(floats(device, a, [m, k]), floats(device, b, bShape(layout, n, k)), {
        layout,
        alpha: 0.5,
        extend,
      });
      const extra = matmulReference(h, e, { m, n, k: r, layout });
      expect(await got.read()).toBeClose(
        matmulReference(a, b, { m, n, k, layout }).map((value, i) => value / 2 + extra[i]!),
      );
    }
  });
});

test("shapes that do not meet are refused by name", async () => {
  const device = await testDevice();
  const [A, B] = [floats(device, [1, 2], [1, 2]), floats(device, [1, 2, 3], [1, 3])];
  expect(() => matmul(A, B, { layout: "NT" })).toThrow("A [1,2] and B [1,3] do not meet: 2 against 3");
});
