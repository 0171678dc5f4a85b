import { expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { openShapeDevice, TYPICAL_GPU } from "../../src/gpu/shape-device.ts";
import type { MatrixUnits } from "../../src/gpu/subgroup-matrix.ts";
import { fromArray } from "../../src/gpu/tensor.ts";
import { type Layout, type MatmulVariant, matmul, matmulVariants } from "../../src/kernels/matmul.ts";
import { MATRIX_TILES, tileOf } from "../../src/kernels/matmul-matrix.ts";
import { randomValues } from "../reference/gradient.ts";
import { matmulReference } from "../reference/matmul.ts";
import { floats, testDevice } from "../support/device.ts";
import { type ClaimedShape, openWithMatrices } from "../support/matrix-units.ts";

interface Case {
  layout: Layout;
  m: number;
  n: number;
  k: number;
  /** Columns of the branch. */
  r?: number;
  /** Whether it adds to what is there. */
  into?: boolean;
}

/** The sum of the last one is cut into slices. */
const BRANCH: Case = { layout: "NT", m: 20, n: 70, k: 36, r: 8 };
const TALL: Case = { layout: "TN", m: 36, n: 72, k: 13, into: true };
const LONG: Case = { layout: "NN", m: 12, n: 20, k: 1500 };

async function check(device: Device, variant: MatmulVariant, { layout, m, n, k, r = 0, into = false }: Case) {
  const [a, b, start] = [randomValues(m * k, 1), randomValues(n * k, 2), randomValues(m * n, 3)];
  const [h, e] = [randomValues(m * r, 4), randomValues(n * r, 5)];
  const A = floats(device, a, layout === "TN" ? [k, m] : [m, k]);
  const B = floats(device, b, layout === "NT" ? [n, k] : [k, n]);
  const C = fromArray(device, Float32Array.from(start), [m, n]);
  const E = () => ({ h: floats(device, h, [m, r]), e: floats(device, e, layout === "NT" ? [n, r] : [r, n]) });
  const options = { ...(r > 0 && { extend: E() }), ...(into && { into: C }) };
  const got = await matmul(A, B, { layout, variant, alpha: 0.5, ...options }).read();
  const branch = r ? matmulReference(h, e, { m, n, k: r, layout }) : new Float64Array(m * n);
  const main = matmulReference(a, b, { m, n, k, layout });
  const wanted = main.map((value, i) => 0.5 * value + branch[i]! + (into ? start[i]! : 0));
  return { got, wanted };
}

const HALF = { M: 16, N: 16, K: 16, componentType: "f16" };
const FLAT = { M: 8, N: 16, K: 16, componentType: "f16" };
const EXACT = { M: 8, N: 8, K: 8, componentType: "f32" };

test.each<[MatmulVariant, Case, ClaimedShape, number]>([
  ["matrix-64", BRANCH, FLAT, 2e-3], // operands have 11 bits
  ["matrix-128", TALL, HALF, 2e-3],
  ["matrix-64", LONG, EXACT, 1e-5],
])("%s: %o on units of %o", async (variant, product, shape, tolerance) => {
  const { f16 } = (await testDevice()).info;
  const device = await openWithMatrices({ shapes: [shape] });
  // Where the type is emulated, too, values take twice the memory.
  const { got, wanted } = await check(device, f16 ? variant : "matrix-64", product);
  expect(got).toBeClose(wanted, tolerance);
  device.close();
});

const NVIDIA = { m: 16, n: 16, k: 16, type: "f16", lanes: 32, pinned: false } as const;
const LIMITS = { invocations: 1024, workgroupBytes: 49152 };
const sizes = (units: MatrixUnits, variant: keyof typeof MATRIX_TILES) => {
  const { ROWS, COLS, DEPTH } = tileOf(units, MATRIX_TILES[variant]) ?? {};
  return [ROWS, COLS, DEPTH];
};
const NONE = [undefined, undefined, undefined];

test.each<[string, MatrixUnits, unknown[][]]>([
  [
    "NVIDIA, 48 KB",
    { ...NVIDIA, ...LIMITS },
    [
      [2, 2, 32],
      [2, 4, 32],
      [4, 4, 16],
    ],
  ],
  [
    "AMD, 64 KB",
    { ...NVIDIA, ...LIMITS, pinned: true, workgroupBytes: 65536 },
    [
      [2, 2, 32],
      [2, 4, 32],
      [4, 4, 16],
    ],
  ],
  ["less memory", { ...NVIDIA, ...LIMITS, workgroupBytes: 32768 }, [[2, 2, 32], [2, 4, 16], NONE]],
  [
    "f32 in 8×8×8",
    { ...NVIDIA, ...LIMITS, m: 8, n: 8, k: 8, type: "f32", workgroupBytes: 32768 },
    [[4, 4, 16], NONE, NONE],
  ],
  ["few lanes", { ...NVIDIA, ...LIMITS, m: 8, lanes: 16 }, [[4, 2, 16], [4, 4, 16], NONE]],
  ["few invocations", { ...NVIDIA, ...LIMITS, invocations: 128 }, [[2, 2, 32], NONE, NONE]],
  [
    "64 lanes",
    { ...NVIDIA, ...LIMITS, lanes: 64 },
    [
      [2, 2, 32],
      [2, 4, 32],
      [4, 4, 16],
    ],
  ],
])("tiles on %s", (_, units, wanted) => {
  expect([sizes(units, "matrix-64"), sizes(units, "matrix-128"), sizes(units, "matrix-256")]).toEqual(wanted);
});

test("large products go to matrix units by default, and tuning may choose between their tiles", async () => {
  const facts = { ...TYPICAL_GPU, info: { ...TYPICAL_GPU.info, matrixUnits: { ...NVIDIA, ...LIMITS } } };
  const { device } = openShapeDevice(facts);
  const large = { layout: "NT", m: 4096, n: 4096, k: 4096 } as const;
  expect(matmulVariants(device, large)[0]).toBe("matrix-128");
  expect(matmulVariants(device, large)).toEqual(
    expect.arrayContaining(["matrix-64", "matrix-256", "tile-128"]),
  );
  expect(matmulVariants(device, { ...large, m: 512, n: 64 })[0]).toBe("matrix-64");
  expect(matmulVariants(device, { ...large, k: 4095 })[0]).not.toMatch(/^matrix/);
  const plain = openShapeDevice(TYPICAL_GPU).device;
  expect(matmulVariants(plain, large).filter((name) => name.startsWith("matrix"))).toEqual([]);
});
