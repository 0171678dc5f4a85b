import { describe, expect, test } from "vitest";
import { fromArray } from "../../src/gpu/tensor.ts";
import {
  gatedMatmul,
  type Layout,
  type MatmulVariant,
  matmul,
  matmulTogether,
} from "../../src/kernels/matmul.ts";
import { cutOf, fastestTile } from "../../src/kernels/matmul-tile.ts";
import { decodeBf16, decodeF16, encodeBf16, encodeF16 } from "../../src/util/half.ts";
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

describe.each<MatmulVariant>(["portable", "subgroup", "tile-64", "tile-128", "small"])(
  "variant %s",
  (variant) => {
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
  },
);

test("sums over any number of tokens: a weight's gradient", async () => {
  const device = await testDevice();
  const [m, n, k] = [40, 36, 127];
  const [a, b] = [randomValues(m * k, 1), randomValues(n * k, 2)];
  const wanted = matmulReference(a, b, { m, n, k, layout: "TN" });
  for (const variant of ["portable", "subgroup", "tile-64", "small"] as const) {
    if (variant === "subgroup" && device.info.subgroupSize === 0) continue;
    const got = matmul(floats(device, a, [k, m]), floats(device, b, [k, n]), { layout: "TN", variant });
    expect(await got.read()).toBeClose(wanted);
  }
});

// A block or a few, with a sum that several layers of workgroups share.
describe.each(["tile-64", "tile-128", "small"] as const)("%s in slices", (variant) => {
  test.each<{ layout: Layout; m: number; n: number; k: number }>([
    { layout: "TN", m: 8, n: 72, k: 1001 },
    { layout: "NN", m: 70, n: 8, k: 516 },
    { layout: "NT", m: 132, n: 5, k: 516 },
  ])("$layout $m×$n, $k steps or more", async ({ layout, m, n, k: least }) => {
    const k = variant === "small" ? least + 4 * 900 : least; // its blocks cost less
    expect(cutOf(variant, { m, n, k }).slices).toBeGreaterThan(1);
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

// What a card is expected to do best with products of a LoRA step of SmolLM2-135M's shape, and of longer texts.
test.each([
  ["o of 256 tokens", { m: 256, n: 576, k: 576 }, "small", 1],
  ["down of 256 tokens", { m: 256, n: 576, k: 1536 }, "small", 1],
  ["gate of 256 tokens", { m: 256, n: 1536, k: 576 }, "tile-64", 1],
  ["gate of 4096 tokens", { m: 4096, n: 1536, k: 576 }, "tile-128", 1],
  ["x Aᵀ of 256 tokens, r 8", { m: 256, n: 8, k: 576 }, "small", 1],
  ["dA of 256 tokens, r 8", { m: 8, n: 576, k: 256 }, "small", 1],
  ["dA of 8192 tokens, r 8", { m: 8, n: 576, k: 8192 }, "small", 8],
  ["64 rows of logits' gradients, multiplied back", { m: 64, n: 576, k: 49_152 }, "tile-64", 15],
] as const)(
  "%s: by the kernel and in the slices that are expected to take least time",
  (_, sizes, variant, slices) => {
    expect(fastestTile(sizes)).toBe(variant);
    expect(cutOf(variant, sizes).slices).toBe(slices);
  },
);

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

describe.each(["bf16", "f16"] as const)("a weight in %s that is read again", (format) => {
  const [n, k, r] = [203, 72, 3];
  const [encode, decode] = format === "bf16" ? [encodeBf16, decodeBf16] : [encodeF16, decodeF16];
  const codesOf = (seed: number) => encode(Float32Array.from(randomValues(n * k, seed)));
  const valuesOf = (codes: Uint16Array) => Float64Array.from(decode(codes));

  test.each([1, 5, 8])("gives the same for %i rows, out of a texture where that is faster", async (m) => {
    const device = await testDevice();
    const codes = codesOf(2);
    const values = valuesOf(codes);
    const [a, h, e] = [randomValues(m * k, 1), randomValues(m * r, 3), randomValues(n * r, 4)];
    const W = fromArray(device, codes, [n, k], format);
    const A = floats(device, a, [m, k]);
    const extend = { h: floats(device, h, [m, r]), e: floats(device, e, [n, r]) };
    const product = matmulReference(a, values, { m, n, k, layout: "NT" });
    const branch = matmulReference(h, e, { m, n, k: r, layout: "NT" });
    const wanted = product.map((value, i) => 0.5 * value + branch[i]!);
    const before = device.textures.bytes;
    const first = await matmul(A, W, { layout: "NT", alpha: 0.5, extend }).read();
    expect(first).toBeClose(wanted);
    // To the bit: a run that is resumed, or a text that is written again, must not depend on what was read before.
    for (let time = 0; time < 2; time++)
      expect(await matmul(A, W, { layout: "NT", alpha: 0.5, extend }).read()).toEqual(first);
    const { readsTexels, subgroupSize } = device.info;
    const isFaster = readsTexels && subgroupSize > 0 && !device.profile.sharesWork;
    expect(device.textures.bytes > before).toBe(isFaster);
    const into = floats(device, wanted, [m, n]);
    expect(await matmul(A, W, { layout: "NT", into }).read()).toBeClose(
      wanted.map((value, i) => value + product[i]!),
    );
    device.memory.release(W.storage);
    expect(device.textures.bytes).toBe(before);
  });

  test("is read anew when it has changed", async () => {
    const device = await testDevice();
    const [first, second] = [codesOf(1), codesOf(2)];
    const a = randomValues(k, 3);
    const A = floats(device, a, [1, k]);
    const W = fromArray(device, first, [n, k], format);
    for (let time = 0; time < 3; time++) matmul(A, W, { layout: "NT" });
    W.write(second);
    for (let time = 0; time < 2; time++)
      expect(await matmul(A, W, { layout: "NT" }).read()).toBeClose(
        matmulReference(a, valuesOf(second), { m: 1, n, k, layout: "NT" }),
      );
    device.memory.release(W.storage);
  });
});

test.each([1, 3, 8])(
  "products of one input, and gated ones, share a dispatch for %i rows where that is faster",
  async (m) => {
    const device = await testDevice();
    const [k, r] = [72, 3];
    const sizes = [96, 40, 13];
    const h = randomValues(m * 3 * r, 7);
    const [a, H] = [randomValues(m * k, 1), floats(device, h, [m, 3 * r])];
    const A = floats(device, a, [m, k]);
    const columns = (i: number) =>
      Array.from({ length: m * r }, (_, at) => h[Math.floor(at / r) * 3 * r + i * r + (at % r)]!);
    const made = sizes.map((n, i) => {
      const codes = encodeBf16(Float32Array.from(randomValues(n * k, 10 + i)));
      const e = randomValues(n * r, 20 + i);
      const product = matmulReference(a, Float64Array.from(decodeBf16(codes)), { m, n, k, layout: "NT" });
      const branch = matmulReference(columns(i), e, { m, n, k: r, layout: "NT" });
      const extend = { h: { of: H, first: i * r, count: r }, e: floats(device, e, [n, r]) };
      const wanted = product.map((value, j) => value + (i === 1 ? 0 : branch[j]!)); // the second has no branch
      return { weight: fromArray(device, codes, [n, k], "bf16"), ...(i !== 1 && { extend }), wanted };
    });
    const ys = matmulTogether(A, made);
    const { readsTexels, subgroupSize } = device.info;
    const isFaster = readsTexels && subgroupSize > 0 && !device.profile.sharesWork;
    expect(ys !== undefined).toBe(isFaster);
    for (const [i, y] of (ys ?? []).entries()) expect(await y.read()).toBeClose(made[i]!.wanted);
    const codes = encodeBf16(Float32Array.from(randomValues(96 * k, 30)));
    const up = matmulReference(a, Float64Array.from(decodeBf16(codes)), { m, n: 96, k, layout: "NT" });
    const pair = [made[0]!, { weight: fromArray(device, codes, [96, k], "bf16") }] as const;
    const y = gatedMatmul(A, pair, "silu");
    expect(y !== undefined).toBe(isFaster);
    if (y)
      expect(await y.read()).toBeClose(
        up.map((value, i) => (value * made[0]!.wanted[i]!) / (1 + Math.exp(-made[0]!.wanted[i]!))),
      );
    const others = codes.subarray(0, 40 * k);
    made[1]!.weight.write(others); // a copy from before would no longer be right
    const written = matmulReference(a, Float64Array.from(decodeBf16(others)), { m, n: 40, k, layout: "NT" });
    const anew = matmulTogether(A, made);
    if (anew) expect(await anew[1]!.read()).toBeClose(written);
  },
);
