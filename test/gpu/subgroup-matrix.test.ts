import { expect, test } from "vitest";
import { hasMatrixUnits, SUBGROUP_MATRIX, understandsMatrices } from "../../src/gpu/subgroup-matrix.ts";
import { matmul } from "../../src/kernels/matmul.ts";
import { openNodeDevice } from "../../src/platform/node-gpu.ts";
import { floats, testDevice } from "../support/device.ts";

const config = { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 };

function adapter(features: string[], info: object) {
  return { features: new Set(features), info } as unknown as Pick<GPUAdapter, "features" | "info">;
}

const all = [SUBGROUP_MATRIX, "shader-f16"];
const fixed = { subgroupMinSize: 32, subgroupMaxSize: 32, subgroupMatrixConfigs: [config] };

test.each([
  ["all of it", all, fixed, true],
  ["no feature", ["shader-f16"], fixed, false],
  ["no f16", [SUBGROUP_MATRIX], fixed, false],
  ["other shapes", all, { ...fixed, subgroupMatrixConfigs: [{ ...config, M: 8 }] }, false],
  [
    "sums in f16",
    all,
    { ...fixed, subgroupMatrixConfigs: [{ ...config, resultComponentType: "f16" }] },
    false,
  ],
  ["subgroups that vary", all, { ...fixed, subgroupMinSize: 8 }, false],
  ["no list of shapes", all, { subgroupMinSize: 32, subgroupMaxSize: 32 }, false],
])("an adapter with %s", (_, features, info, wanted) => {
  expect(hasMatrixUnits(adapter(features, info))).toBe(wanted);
});

test("a device that does not understand the extension is found out without an error", async () => {
  const device = await testDevice();
  device.gpu.pushErrorScope("validation"); // the module itself is reported where nobody catches it
  expect(await understandsMatrices(device.gpu)).toBe(false);
  await device.gpu.popErrorScope();
  await device.check();
});

test("asking for half precision where there are no matrix units changes nothing", async () => {
  const device = await openNodeDevice({ halfPrecision: true });
  if (device.info.matrixUnits) return device.close();
  const [a, b] = [
    [1.0001, 2, 3, 4],
    [5, 6, 7, 8],
  ] as const;
  const product = await matmul(floats(device, a, [1, 4]), floats(device, b, [1, 4]), { layout: "NT" }).read();
  expect(product).toBeClose([1.0001 * 5 + 12 + 21 + 32], 1e-6);
  device.close();
});
