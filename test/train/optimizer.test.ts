import { expect, test } from "vitest";
import { fromArray } from "../../src/gpu/tensor.ts";
import { addInto } from "../../src/kernels/elementwise.ts";
import { allocateParameters } from "../../src/nn/parameters.ts";
import type { Objective } from "../../src/train/objective.ts";
import { trainObjective } from "../../src/train/trainer.ts";
import { testDevice } from "../support/device.ts";

/** torch 2.13, f64: three steps of AdamW(lr=1e-2, weight_decay=0.1) from [1, -2, 0.5] with the gradients below. */
const TORCH = [0.9678008103721331, -1.9640359880998999, 0.4957769531363636];
const GRADIENTS = [1, 2, 3].map((step) => [0.1 * step, -3, 1e-9]);

/** The parameters after one step for each of these gradients. */
async function train(gradients: readonly number[][]): Promise<{ values: Float32Array; skipped: boolean[] }> {
  const device = await testDevice();
  const parameters = allocateParameters(device, [{ name: "p", shape: [3] }]);
  const [p] = parameters.entries.map(({ tensor }) => tensor);
  if (p === undefined) throw new Error("there are no parameters");
  p.write(Float32Array.of(1, -2, 0.5));
  // A loss whose gradient is what the item says.
  const objective: Objective<readonly number[], { tokens: 1; terms: 1; gradient: readonly number[] }> = {
    device,
    collate: ([gradient = []]) => ({ tokens: 1, terms: 1, gradient }),
    loss({ gradient }, { tape }) {
      const loss = fromArray(device, Float32Array.of(0), [1]);
      const dp = fromArray(device, Float32Array.from(gradient), [3]);
      tape?.record(loss, [p], [dp], (_, add) => add(p, (into) => (into ? addInto(into, dp) : dp)));
      return loss;
    },
  };
  const options = { learningRate: 1e-2, weightDecay: 0.1, maxGradNorm: 0, batchSize: 1, shuffle: false };
  const skipped: boolean[] = [];
  const run = trainObjective(objective, parameters, gradients, { ...options, schedule: "constant" });
  for await (const step of run) skipped.push(step.skipped);
  return { values: (await p.read()) as Float32Array, skipped };
}

test("a run agrees with torch.optim.AdamW", async () => {
  expect((await train(GRADIENTS)).values).toBeClose(TORCH);
});

test.each([0, 1, 2])(
  "a step that is skipped changes nothing, also of the steps behind it (%i)",
  async (place) => {
    const broken = [Number.NaN, Number.POSITIVE_INFINITY, 0];
    const gradients = GRADIENTS.toSpliced(place, 0, broken, broken);
    const { values, skipped } = await train(gradients);
    expect(skipped.flatMap((skip, i) => (skip ? [i] : []))).toEqual([place, place + 1]);
    expect(values).toBeClose(TORCH);
  },
);
