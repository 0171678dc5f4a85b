import { describe, expect, test } from "vitest";
import { zeros } from "../../src/kernels/elementwise.ts";
import { lion } from "../../src/kernels/lion.ts";
import { randomValues } from "../reference/gradient.ts";
import { lionReference } from "../reference/lion.ts";
import { testDevice } from "../support/device.ts";
import { fiveSteps, leavesAlone, updateTensors } from "../support/updates.ts";

const defaults = { learningRate: 1e-2, beta1: 0.9, beta2: 0.99, weightDecay: 0.1 };

describe.each([{ size: 1 }, { size: 127 }, { size: 5 * 123, weightDecay: 0 }, { size: 512, factor: 0.25 }])(
  "lion %j",
  ({ size, factor = 1, ...rest }) => {
    test("five steps", async () => {
      const device = await testDevice();
      const options = { ...defaults, ...rest };
      const start = randomValues(size, 1);
      const tensors = { ...updateTensors(device, start, factor), momentum: zeros(device, [size]) };
      const [p, m] = [start.slice(), new Float64Array(size)];
      const reference = (gradients: Float64Array) => lionReference(p, m, gradients, options);
      await fiveSteps(tensors, () => lion(tensors, options), reference, { factor });
      expect(await tensors.parameters.read()).toBeClose(p);
      expect(await tensors.momentum.read()).toBeClose(m);
    });
  },
);

test("a gradient of 0 moves nothing, and a skipped step changes nothing", async () => {
  const device = await testDevice();
  const tensors = { ...updateTensors(device, [1, 2, 3]), momentum: zeros(device, [3]) };
  lion(tensors, { ...defaults, weightDecay: 0 });
  expect([...(await tensors.parameters.read())]).toEqual([1, 2, 3]);
  expect(await leavesAlone(tensors, [tensors.momentum], () => lion(tensors, defaults))).toBe(true);
});
