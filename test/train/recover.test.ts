import { expect, test } from "vitest";
import { differences, recoveredRun } from "../../scripts/lost-device/recoveries.ts";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import type { BeginTraining, Loss, LossPolicy } from "../../src/train/losses.ts";
import { Run } from "../../src/train/run.ts";
import { trainObjective, trainSequences } from "../../src/train/trainer.ts";
import type { TrainerOptions } from "../../src/train/trainer-options.ts";
import { LoraError } from "../../src/util/fail.ts";
import {
  fixturePath,
  type Golden,
  goldenSequences,
  openTestModel,
  readJsonFile,
} from "../support/fixtures.ts";

const folder = fixturePath("llama-gqa");
const sequences = goldenSequences(readJsonFile<Golden>(folder, "golden.json"));
const subject = { folder, sequences };
const destroy = { lose: ({ gpu }: { gpu: GPUDevice }) => gpu.destroy() };

// Each device compiles its kernels anew, so there is one loss here; scripts/lost-device has as many as are wanted.
test("where the device is lost, the run goes on to the same bytes, and tells each thing once", async () => {
  const options: TrainerOptions = { optimizer: "adamw_8bit" };
  const whole = await recoveredRun(subject, options);
  expect(whole.told).toHaveLength(8 + 3 + 4);
  const got = await recoveredRun(subject, options, Math.floor(0.6 * whole.calls), destroy);
  expect(differences(whole, got)).toEqual([]);
  expect(got.losses).toBe(1);
});

/** A run of four steps that fails behind the second, as long as `fails`. */
async function failing(
  kind: "device-lost" | "out-of-memory",
  policy: LossPolicy,
  fails: (split: number) => boolean,
) {
  const model = await openTestModel(folder);
  const seen: Loss[] = [];
  const losses: number[] = [];
  const adapter = attach(model, lora({ r: 2, targetModules: ["q_proj"] }), { seed: 3 });
  const options = { maxSteps: 4, batchSize: 4, learningRate: 1e-2 };
  const begin: BeginTraining = async function* (given) {
    for await (const metrics of trainSequences(model, adapter.parameters, sequences, {
      ...options,
      ...given,
    })) {
      yield metrics;
      if (metrics.step === 2 && fails(given.batchSplit ?? 1)) throw new LoraError(kind, "device", "failed");
    }
  };
  const run = new Run(begin, {
    ...policy,
    recover: async (loss) => {
      seen.push(loss);
      return begin;
    },
    onStep: ({ loss }) => void losses.push(loss),
  });
  return { end: run.start(), seen, losses };
}

test("three losses without a step between end it, or as many as are said", async () => {
  const three = await failing("device-lost", {}, () => true);
  await expect(three.end).rejects.toMatchObject({ kind: "device-lost" });
  expect(three.seen.map(({ attempt }) => attempt)).toEqual([1, 2]);
  const one = await failing("device-lost", { maxLosses: 1 }, () => true);
  await expect(one.end).rejects.toMatchObject({ kind: "device-lost" });
  expect(one.seen).toEqual([]);
});

test("twice without memory at the same step: micro-batches in halves where that is allowed, else it is told", async () => {
  const told = await failing("out-of-memory", {}, () => true);
  await expect(told.end).rejects.toThrow(
    /twice at the same step: with a smaller batch and as much more accumulation/,
  );
  expect(told.seen).toHaveLength(1);
  const whole = await failing("out-of-memory", {}, () => false);
  await whole.end;
  const split = await failing("out-of-memory", { mostParts: 4 }, (parts) => parts < 4);
  await split.end;
  expect(split.seen.map(({ batchSplit }) => batchSplit)).toEqual([1, 2, 4]);
  expect(split.losses).toHaveLength(4);
  for (const [i, loss] of split.losses.entries())
    expect(Math.abs(loss - (whole.losses[i] as number))).toBeLessThan(1e-5);
});

test("what compares the items of a batch is not computed in parts", async () => {
  const model = await openTestModel(folder);
  const { parameters } = attach(model, lora({ r: 2, targetModules: ["q_proj"] }));
  const objective = {
    device: model.device,
    comparesItems: true as const,
    collate: () => ({ tokens: 1, terms: 1 }),
  };
  const run = trainObjective(
    { ...objective, loss: () => parameters.flat, problemOf: () => undefined },
    parameters,
    [1],
    {
      batchSplit: 2,
    },
  );
  await expect(run.next()).rejects.toThrow(/compared with its whole batch[\s\S]*leave batchSplit out/);
});
