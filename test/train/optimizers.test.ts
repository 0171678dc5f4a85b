import { describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { fromArray, type Tensor } from "../../src/gpu/tensor.ts";
import { addInto } from "../../src/kernels/elementwise.ts";
import { allocateParameters, type Parameters, readParameters } from "../../src/nn/parameters.ts";
import type { Objective } from "../../src/train/objective.ts";
import { OPTIMIZERS } from "../../src/train/optimizers/registry.ts";
import { trainObjective } from "../../src/train/trainer.ts";
import type { TrainerOptions } from "../../src/train/trainer-options.ts";
import { testDevice } from "../support/device.ts";
import { fixturePath, readJsonFile } from "../support/fixtures.ts";

interface Golden {
  shapes: Record<string, number[]>;
  steps: number;
  cases: { options: TrainerOptions; values: Record<string, number[]> }[];
}

const golden = readJsonFile<Golden>(fixturePath("."), "optimizers.json");
const names = Object.keys(golden.shapes);
const sizeOf = (name: string) => golden.shapes[name]!.reduce((a, b) => a * b, 1);
const start = (name: string, seed: number) =>
  Float32Array.from({ length: sizeOf(name) }, (_, i) => Math.cos(seed + 0.7 * i));
const gradient = (name: string, seed: number, step: number) =>
  Float32Array.from(
    { length: sizeOf(name) },
    (_, i) => Math.sin(seed + 1.7 * (i + 1) + 0.9 * step) * (1 + (i % 3)),
  );

function begin(device: Device): Parameters {
  const parameters = allocateParameters(
    device,
    names.map((name) => ({ name, shape: golden.shapes[name] as number[] })),
  );
  for (const [i, { name, tensor }] of parameters.entries.entries()) tensor.write(start(name, i));
  return parameters;
}

interface Step {
  readonly tokens: 1;
  readonly terms: number;
  /** Of the summed loss, by parameter. */
  readonly gradients: readonly Float32Array[];
}

/** A loss whose gradient is what the item says. */
function fixedGradients(
  device: Device,
  tensors: readonly Tensor[],
  terms: number,
): Objective<Float32Array[], Step> {
  return {
    device,
    collate: ([gradients = []]) => ({
      tokens: 1,
      terms,
      gradients: gradients.map((of) => of.map((g) => terms * g)),
    }),
    loss({ gradients }, { tape }) {
      const loss = fromArray(device, Float32Array.of(0), [1]);
      const given = gradients.map((values, i) => fromArray(device, values, tensors[i]!.shape));
      tape?.record(loss, tensors, given, (_, add) => {
        for (const [i, dp] of given.entries()) add(tensors[i]!, (into) => (into ? addInto(into, dp) : dp));
      });
      return loss;
    },
  };
}

const broken = names.map((name) => new Float32Array(sizeOf(name)).fill(Number.NaN));
const given = Array.from({ length: golden.steps }, (_, step) =>
  names.map((name, i) => gradient(name, i, step + 1)),
);

/** The parameters after one step for each of these gradients. */
async function train(options: TrainerOptions, steps: Float32Array[][], terms = 1) {
  const device = await testDevice();
  const parameters = begin(device);
  const tensors = parameters.entries.map(({ tensor }) => tensor);
  const skipped: boolean[] = [];
  const settings = { maxGradNorm: 0, batchSize: 1, shuffle: false, schedule: "constant" } as const;
  const run = trainObjective(fixedGradients(device, tensors, terms), parameters, steps, {
    ...settings,
    ...options,
  });
  for await (const step of run) skipped.push(step.skipped);
  const values = await readParameters(parameters);
  device.memory.release(parameters.flat.storage);
  return { values, skipped };
}

describe.each(golden.cases)("$options", ({ options, values: wanted }) => {
  test("ten steps agree with PyTorch's, or transformers'", async () => {
    const { values } = await train(options, given);
    for (const name of names) expect(values.get(name), name).toBeClose(wanted[name]!, 2e-5);
  });

  test.each([0, 4, 9])(
    "a step that is skipped changes nothing, also of the steps behind it (%i)",
    async (place) => {
      const steps = given.toSpliced(place, 0, broken, broken);
      const goesOn = { settleAfter: () => false };
      const { values, skipped } = await train({ ...options, ...goesOn }, steps);
      expect(skipped.flatMap((skip, i) => (skip ? [i] : []))).toEqual([place, place + 1]);
      for (const name of names) expect(values.get(name), name).toBeClose(wanted[name]!, 2e-5);
    },
  );
});

test("the gradient of a mean does not depend on its terms", async () => {
  const { options, values: wanted } = golden.cases[0]!;
  const { values } = await train(options, given, 1000);
  for (const name of names) expect(values.get(name), name).toBeClose(wanted[name]!, 2e-5);
});

test("moments of 8 bits come near those of 32", async () => {
  const { options, values: wanted } = golden.cases[0]!;
  const { values } = await train({ ...options, optimizer: "adamw_8bit" }, given);
  for (const [i, name] of names.entries()) {
    const moved = start(name, i).map((value, at) => wanted[name]![at]! - value);
    const off = values.get(name)!.map((value, at) => value - wanted[name]![at]!);
    expect(Math.hypot(...off) / Math.hypot(...moved), name).toBeLessThan(0.05);
  }
});

test("rates by group: factors by name, the first that matches counts", async () => {
  const ratePattern = { "q.lora_A": 0, lora_A: 3, lora_B: 2 };
  const { values } = await train({ optimizer: "sgd", learningRate: 1e-2, ratePattern }, given.slice(0, 1));
  const moved = (name: string, i: number) =>
    (start(name, i)[0]! - values.get(name)![0]!) / gradient(name, i, 1)[0]!;
  expect(moved("q.lora_A", 0)).toBe(0);
  expect(moved("q.lora_B", 1)).toBeCloseTo(2e-2, 6);
  expect(moved("norm.weight", 2)).toBeCloseTo(1e-2, 6);
});

test("every optimiser has a case", () => {
  const tried = new Set(golden.cases.map(({ options }) => options.optimizer));
  expect(OPTIMIZERS.filter((name) => !tried.has(name))).toEqual(["adamw_8bit"]);
});
