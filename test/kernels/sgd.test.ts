import { describe, expect, test } from "vitest";
import { zeros } from "../../src/kernels/elementwise.ts";
import { sgd } from "../../src/kernels/sgd.ts";
import { randomValues } from "../reference/gradient.ts";
import { sgdReference } from "../reference/sgd.ts";
import { testDevice } from "../support/device.ts";
import { fiveSteps, leavesAlone, updateTensors } from "../support/updates.ts";

const defaults = { learningRate: 1e-2, momentum: 0.9, nesterov: false, weightDecay: 0.1 };

describe.each([
  { size: 1 },
  { size: 127, nesterov: true },
  { size: 5 * 123, momentum: 0 },
  { size: 512, factor: 0.25 },
])("sgd %j", ({ size, factor = 1, ...rest }) => {
  test("five steps", async () => {
    const device = await testDevice();
    const options = { ...defaults, ...rest };
    const start = randomValues(size, 1);
    const tensors = { ...updateTensors(device, start, factor), momentum: zeros(device, [size]) };
    const [p, m] = [start.slice(), new Float64Array(size)];
    const reference = (gradients: Float64Array) => sgdReference(p, m, gradients, options);
    await fiveSteps(tensors, () => sgd(tensors, options), reference, { factor });
    expect(await tensors.parameters.read()).toBeClose(p);
    expect(await tensors.momentum.read()).toBeClose(m);
  });
});

test("a skipped step changes nothing, and tensors of unequal size are refused", async () => {
  const device = await testDevice();
  const tensors = { ...updateTensors(device, [1, 2, 3]), momentum: zeros(device, [3]) };
  expect(await leavesAlone(tensors, [tensors.momentum], () => sgd(tensors, defaults))).toBe(true);
  expect(() => sgd({ ...tensors, momentum: zeros(device, [2]) }, defaults)).toThrow(
    /3 parameters, but .* of 2/,
  );
});
