// Training steps whose passes are launched as those of a step before were: the same bits as passes that the host goes through anew.
import { afterEach, beforeEach, expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { lokr } from "../../src/adapters/lycoris/lokr.ts";
import type { Method } from "../../src/adapters/method.ts";
import { one } from "../../src/autograd/tape.ts";
import type { Sequence } from "../../src/data/sequence.ts";
import type { Device } from "../../src/gpu/device.ts";
import { Replay } from "../../src/gpu/replay.ts";
import { scoped } from "../../src/gpu/tensor.ts";
import { createModel } from "../../src/load/create.ts";
import type { LanguageModel } from "../../src/models/model.ts";
import { languageModelling } from "../../src/train/language-modelling.ts";
import { Optimizer } from "../../src/train/optimizer.ts";
import { accumulateGradients } from "../../src/train/pass.ts";
import { type StepMetrics, trainObjective } from "../../src/train/trainer.ts";
import type { TrainerOptions } from "../../src/train/trainer-options.ts";
import { createRandom } from "../../src/util/random.ts";
import { testDevice } from "../support/device.ts";
import { HostLaunches } from "../support/launches.ts";

const config = {
  architectures: ["LlamaForCausalLM"],
  vocab_size: 32,
  hidden_size: 32,
  intermediate_size: 64,
  num_hidden_layers: 3,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
};

let device: Device;
let poison: Device["memory"]["onRelease"];
let launches: HostLaunches;

beforeEach(async () => {
  device = await testDevice();
  one(device); // stays from the first pass on
  poison = device.memory.onRelease;
  launches = new HostLaunches(device);
});
afterEach(() => {
  launches.undo();
  device.memory.onRelease = poison;
});

/** Rows of so many tokens, of which those from one on are predicted. */
const rows = (lengths: readonly number[], from = 0): Sequence[] =>
  lengths.map((length, row) => {
    const inputIds = Array.from({ length }, (_, i) => (7 * i + 5 * row) % 32);
    return { inputIds, labels: inputIds.map((id, i) => (i < from ? -100 : id)) };
  });

interface Case {
  readonly options?: TrainerOptions;
  readonly method?: Method | undefined;
  readonly items?: Sequence[];
}

const EQUAL = rows([16, 16, 16, 16, 16]);

function open(method: Method | undefined = lora({ r: 4, targetModules: "all-linear" })) {
  const created = createModel(device, config, { seed: 3 });
  const model = created.model as LanguageModel;
  const adapter = attach(model, method);
  return {
    model,
    parameters: adapter.parameters,
    release() {
      adapter.release();
      created.model.release();
    },
  };
}

/** Trains for twelve steps; launches of host code in each. */
async function train({ options, method, items = EQUAL }: Case, replays: boolean) {
  const { used } = device.memory.stats;
  const { model, parameters, release } = open(method);
  const { placing, ...objective } = languageModelling(model);
  device.memory.trim();
  device.memory.resetPeak();
  const counts: number[] = [];
  const steps: Partial<StepMetrics>[] = [];
  let before = launches.count;
  const given = replays ? { ...objective, placing } : objective;
  const settings = { batchSize: 1, maxSteps: 12, learningRate: 1e-2, ...options };
  for await (const { seconds: _, ...step } of trainObjective(given, parameters, items, settings)) {
    steps.push({ ...step, peakBytes: step.peakBytes - used });
    counts.push(launches.count - before);
    before = launches.count;
  }
  const end = await parameters.flat.readBytes();
  release();
  return { steps, counts, end };
}

async function expectSame(given: Case): Promise<{ readonly counts: number[]; readonly plain: number[] }> {
  const [replayed, plain] = [await train(given, true), await train(given, false)];
  expect(replayed.steps).toEqual(plain.steps); // losses, norms, memory
  expect(Buffer.from(replayed.end).equals(Buffer.from(plain.end))).toBe(true);
  return { counts: replayed.counts, plain: plain.counts };
}

const dropped = lora({ r: 4, targetModules: "all-linear", dropout: 0.1 });

test.each<[string, Case]>([
  ["LoRA", {}],
  ["labels of some tokens only", { items: rows([16, 16, 16], 8) }],
  ["accumulation", { options: { gradientAccumulationSteps: 3 } }],
  ["checkpointing", { options: { gradientCheckpointing: true } }],
  ["packed rows", { items: rows([8, 8, 8, 8, 8, 8]), options: { packing: true, maxLength: 16 } }],
  ["label smoothing", { options: { labelSmoothing: 0.1, zLoss: 1e-3 } }],
])("%s: later steps launch the optimiser's kernels anew, and no others", async (_, given) => {
  device.memory.onRelease = undefined; // fills what is released by launches of its own
  const { counts, plain } = await expectSame(given);
  expect(counts[0]).toBeGreaterThan(100);
  for (const count of counts.slice(-6)) expect(count).toBeLessThan(30);
  for (const count of plain) expect(count).toBeGreaterThan(100);
});

test.each<[string, Case]>([
  ["batches of several shapes by turns", { items: rows([16, 24, 9, 16, 30]) }],
  ["freed memory is filled with NaN", { options: { gradientAccumulationSteps: 2 } }],
  ["activations in 8 bits, whose rounding uploads something", { options: { activationBits: 8 } }],
  ["a rate that changes", { options: { schedule: "cosine", warmupRatio: 0.3 } }],
])("%s", async (_, given) => {
  await expectSame(given);
});

test.each<[string, Case]>([
  ["dropout", { method: dropped }],
  ["noise on embeddings", { options: { neftuneNoiseAlpha: 5 } }],
  ["outputs that are left out at random", { method: lokr({ r: 2, rankDropout: 0.3 }) }],
  ["modules that are left out at random", { method: lokr({ r: 2, moduleDropout: 0.9 }) }],
])("%s: others each time, so that no step is replayed", async (_, given) => {
  device.memory.onRelease = undefined;
  const { counts, plain } = await expectSame(given);
  expect(counts).toEqual(plain);
});

test("an objective that was given another loss goes by that", async () => {
  const { model, parameters, release } = open();
  const objective = languageModelling(model);
  let calls = 0;
  const own: typeof objective = {
    ...objective,
    loss(batch, context) {
      calls++;
      return objective.loss(batch, context);
    },
  };
  for await (const _ of trainObjective(own, parameters, EQUAL, { batchSize: 1, maxSteps: 4 }));
  expect(calls).toBe(4);
  release();
});

test("a label that the head has no score for is refused, also where a pass like it was recorded", () => {
  const { model, parameters, release } = open();
  const objective = languageModelling(model);
  const optimizer = new Optimizer(parameters);
  const replay = new Replay(device);
  const batch = objective.collate(rows([16]), createRandom(0));
  const labels = batch.targets.labels.map((label, i) => (i === 3 ? 32 : label));
  const alien = { ...batch, targets: { ...batch.targets, labels } };
  const run = (given: typeof batch) => () =>
    scoped(device, () => {
      accumulateGradients(objective, parameters, optimizer.gradients, [given], { seed: 0, replay });
      return undefined;
    });
  run(batch)();
  run(batch)();
  expect(run(alien)).toThrow("label 32 is outside the head, which has 32");
  optimizer.release();
  release();
});
