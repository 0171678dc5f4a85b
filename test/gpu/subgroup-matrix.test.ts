import { expect, test } from "vitest";
import {
  type MatrixUnits,
  matrixUnitsOf,
  SUBGROUP_MATRIX,
  SUBGROUP_SIZE_CONTROL,
} from "../../src/gpu/subgroup-matrix.ts";
import { matmul } from "../../src/kernels/matmul.ts";
import { openNodeDevice } from "../../src/platform/node-gpu.ts";
import { floats } from "../support/device.ts";
import { type Behaviour, openWithMatrices } from "../support/matrix-units.ts";

const config = { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 };
const limits = { maxComputeInvocationsPerWorkgroup: 1024, maxComputeWorkgroupStorageSize: 65536 };

function unitsOf(features: string[], info: object): MatrixUnits[] {
  const adapter = { features: new Set(features), info, limits };
  return matrixUnitsOf(adapter as unknown as GPUAdapter);
}

const all = [SUBGROUP_MATRIX, SUBGROUP_SIZE_CONTROL, "shader-f16"];
const fixed = { subgroupMinSize: 32, subgroupMaxSize: 32, subgroupMatrixConfigs: [config] };
const usual = { m: 16, n: 16, k: 16, type: "f16", lanes: 32, pinned: false };
const own = { invocations: 1024, workgroupBytes: 65536 };

test.each([
  ["all of it", all, fixed, [usual]],
  ["no feature", ["shader-f16"], fixed, []],
  ["no f16", [SUBGROUP_MATRIX], fixed, []],
  ["no list of shapes", all, { subgroupMinSize: 32, subgroupMaxSize: 32 }, []],
  ["sums in f16", all, { ...fixed, subgroupMatrixConfigs: [{ ...config, resultComponentType: "f16" }] }, []],
  ["integers", all, { ...fixed, subgroupMatrixConfigs: [{ ...config, componentType: "i8" }] }, []],
  ["sizes of 4", all, { ...fixed, subgroupMatrixConfigs: [{ ...config, M: 4 }] }, []],
  [
    "subgroups that vary",
    all,
    { ...fixed, subgroupMinSize: 16, subgroupMaxSize: 64 },
    [32, 64, 16].map((lanes) => ({ ...usual, lanes, pinned: true })),
  ],
  [
    "subgroups that vary and cannot be pinned",
    [SUBGROUP_MATRIX, "shader-f16"],
    { ...fixed, subgroupMinSize: 8 },
    [],
  ],
  [
    "several shapes, the largest first and f16 before f32",
    all,
    {
      ...fixed,
      subgroupMatrixConfigs: [
        { ...config, componentType: "f32", M: 8, N: 8, K: 8 },
        { ...config, M: 8, N: 8, K: 8 },
        { ...config, M: 8 },
      ],
    },
    [
      { ...usual, m: 8 },
      { ...usual, m: 8, n: 8, k: 8 },
      { ...usual, m: 8, n: 8, k: 8, type: "f32" },
    ],
  ],
])("an adapter with %s", (_, features, info, wanted) => {
  expect(unitsOf(features, info)).toEqual(wanted.map((units) => ({ ...units, ...own })));
});

const shape = { M: 16, N: 16, K: 16, componentType: "f16" };

async function opened(behaviour: Behaviour) {
  const warnings: string[] = [];
  const onWarning = (warning: string) => warnings.push(warning);
  const device = await openWithMatrices({ shapes: [shape], behaviour }, { onWarning });
  const { matrixUnits, matrixFailure } = device.info;
  const x = floats(device, [1.0001, 2, 3, 4], [1, 4]);
  const y = await matmul(x, floats(device, [5, 6, 7, 8], [1, 4]), { layout: "NT" }).read();
  device.close();
  return { matrixUnits, matrixFailure, warnings, y };
}

test("units that give the right product are used", async () => {
  const { matrixUnits, matrixFailure, warnings } = await opened("right");
  expect(matrixUnits).toMatchObject({ m: 16, n: 16, k: 16, lanes: 32, type: "f16" });
  expect(matrixFailure).toBeUndefined();
  expect(warnings).toEqual([]);
});

test.each([
  ["wrong", "a trial product 16×16×16 of f16 by subgroups of 32 came out wrong"],
  ["unknown", "a trial product 16×16×16 of f16 by subgroups of 32 failed: "],
  ["lost", "a trial product 16×16×16 of f16 by subgroups of 32 failed: "],
] as const)(
  "units that are %s are left alone, which is told, and products are exact",
  async (behaviour, reason) => {
    const { matrixUnits, matrixFailure, warnings, y } = await opened(behaviour);
    expect(matrixUnits).toBeUndefined();
    expect(matrixFailure).toContain(reason);
    expect(warnings).toEqual([`matrix units are not used: ${matrixFailure}; products are computed in f32`]);
    expect(y).toBeClose([1.0001 * 5 + 12 + 21 + 32], 1e-6);
  },
);

test("where subgroups vary those of the first size that multiplies right are taken", async () => {
  const device = await openWithMatrices({ shapes: [{ ...shape, M: 8, N: 8, K: 8 }], lanes: [16, 64] });
  expect(device.info.matrixUnits).toMatchObject({ m: 8, lanes: 32, pinned: true });
  device.close();
});

test("asking for half precision where there are no matrix units changes nothing", async () => {
  const device = await openNodeDevice({ halfPrecision: true });
  expect(device.info.matrixFailure).toBeUndefined();
  if (!device.info.matrixUnits) {
    const x = floats(device, [1.0001, 2, 3, 4], [1, 4]);
    const product = await matmul(x, floats(device, [5, 6, 7, 8], [1, 4]), { layout: "NT" }).read();
    expect(product).toBeClose([1.0001 * 5 + 12 + 21 + 32], 1e-6);
  }
  device.close();
});
