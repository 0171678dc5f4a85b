import { beforeAll, describe, expect, test } from "vitest";
import { adalora } from "../../src/adapters/adalora/adalora.ts";
import { type Adapter, attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import type { Method } from "../../src/adapters/method.ts";
import { oft } from "../../src/adapters/oft/oft.ts";
import type { Device } from "../../src/gpu/device.ts";
import type { RunState } from "../../src/io/formats/run-state.ts";
import { createModel } from "../../src/load/create.ts";
import type { LanguageModel } from "../../src/models/model.ts";
import { allocateLike } from "../../src/nn/parameters.ts";
import { languageModelling } from "../../src/train/language-modelling.ts";
import { afterUpdate } from "../../src/train/loss-scale.ts";
import { accumulateGradients, type PassOptions } from "../../src/train/pass.ts";
import type { TrainState } from "../../src/train/state.ts";
import { type StepMetrics, trainSequences } from "../../src/train/trainer.ts";
import type { TrainerOptions } from "../../src/train/trainer-options.ts";
import { createRandom } from "../../src/util/random.ts";
import { randomValues } from "../reference/gradient.ts";
import { relativeNormError } from "../support/compare.ts";
import { testDevice } from "../support/device.ts";

const ids = (seed: number) => Array.from({ length: 32 }, (_, i) => 1 + ((seed * 31 + i * i) % 60));
const SEQUENCES = [1, 2, 3, 4].map((seed) => ({ inputIds: ids(seed), labels: ids(seed) }));

const SHAPE = { vocab_size: 64, hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2 };
const LLAMA = { architectures: ["LlamaForCausalLM"], intermediate_size: 96, num_key_value_heads: 1 };
/** LayerNorm with biases, an activation function without a gate, part of a head rotated, q, k and v in one matrix. */
const NEOX = { architectures: ["GPTNeoXForCausalLM"], intermediate_size: 128, rotary_pct: 0.5 };

let device: Device;
beforeAll(async () => {
  device = await testDevice();
});

/** A model of random weights with an adapter whose matrices all have some values. @param factor of the model's weights */
function open(
  method: Method = lora({ r: 4, targetModules: "all-linear", dropout: 0.1 }),
  config: object = LLAMA,
  factor = 1,
) {
  const created = createModel(device, { max_position_embeddings: 64, ...SHAPE, ...config });
  const model = created.model as LanguageModel;
  const { flat: base } = created.parameters;
  base.write(Float32Array.from(randomValues(base.size, 5), (value) => 0.2 * factor * value));
  const adapter = attach(created.model, method);
  const { flat } = adapter.parameters;
  flat.write(Float32Array.from(randomValues(flat.size, 9), (value) => value * 0.1));
  return {
    ...{ model, adapter },
    release() {
      adapter.release();
      created.model.release();
    },
  };
}

async function gradientsOf(
  { model, adapter }: { model: LanguageModel; adapter: Adapter },
  options: Partial<PassOptions>,
) {
  const { memory } = device;
  const objective = languageModelling(model);
  const { flat, views } = allocateLike(adapter.parameters);
  const batch = objective.collate(SEQUENCES, createRandom(0));
  memory.resetPeak();
  const before = memory.stats.used;
  const sum = accumulateGradients(objective, adapter.parameters, views, [batch], { seed: 1, ...options });
  const bytes = memory.stats.peak - before;
  const [[loss = 0], gradients] = [await sum.read(), await flat.read()];
  for (const { storage } of [sum, flat]) memory.release(storage);
  return { loss, gradients, bytes };
}

/** Trains; what each step measured, the parameters at the end, and the state behind step 6. */
async function run(options: TrainerOptions, subject = open()) {
  const { model, adapter, release } = subject;
  const steps: StepMetrics[] = [];
  let state: TrainState | undefined;
  let captured: RunState | undefined;
  const settings: TrainerOptions = {
    ...{ batchSize: 1, maxSteps: 12, learningRate: 1e-2, precision: "mixed", ...options },
    async onStart(started) {
      state = started;
      await options.onStart?.(started);
    },
  };
  try {
    for await (const metrics of trainSequences(model, adapter.parameters, SEQUENCES, settings)) {
      steps.push(metrics);
      if (metrics.step === 6) captured = await state?.capture();
    }
    return {
      steps,
      losses: steps.map(({ loss }) => loss),
      end: await adapter.parameters.flat.read(),
      captured,
    };
  } finally {
    release();
  }
}

describe("mixed precision", () => {
  test.each([
    ["Llama", LLAMA, false],
    ["Llama, layers that are computed again", LLAMA, true],
    ["GPT-NeoX", NEOX, false],
  ] as const)(
    "%s: loss and gradients are f32's but for the rounding, in less memory",
    async (_, config, checkpoint) => {
      if (!device.info.f16) return;
      const subject = open(undefined, config);
      const exact = await gradientsOf(subject, { checkpoint });
      const mixed = await gradientsOf(subject, { checkpoint, precision: "mixed", lossScale: 256 });
      subject.release();
      expect(Math.abs(mixed.loss / exact.loss - 1)).toBeLessThan(1e-3);
      const scaled = mixed.gradients.map((value) => value / 256);
      const error = relativeNormError(scaled, exact.gradients);
      expect(error).toBeGreaterThan(1e-5);
      expect(error).toBeLessThan(5e-3);
      expect(mixed.bytes / exact.bytes).toBeLessThan(checkpoint ? 1 : 0.7);
    },
  );

  test("losses of 12 steps are within 1 %, and a run that is resumed comes to the same bytes", async () => {
    if (!device.info.f16) return;
    const [exact, mixed] = [await run({ precision: "f32" }), await run({})];
    expect(exact.losses[11]).toBeLessThan(exact.losses[0]! - 0.1);
    for (const [i, loss] of exact.losses.entries())
      expect(Math.abs(mixed.losses[i]! / loss - 1)).toBeLessThan(0.01);
    expect(exact.steps.some(({ lossScale }) => lossScale !== undefined)).toBe(false);
    expect(mixed.steps.map(({ lossScale }) => lossScale)).toEqual(exact.steps.map(() => 1024));
    expect(mixed.captured?.lossScale).toEqual({ scale: 1024, updates: 6 });
    const resumed = await run({ resume: mixed.captured! });
    expect(resumed.steps.map(({ step }) => step)).toEqual([7, 8, 9, 10, 11, 12]);
    expect(resumed.end).toEqual(mixed.end);
  });

  test.each([
    ["settles after each step", undefined],
    ["records ahead", () => false],
  ])(
    "gradients that overflow are computed again with half the scale, and no row is lost: a run that %s",
    async (_, settleAfter) => {
      if (!device.info.f16) return;
      const options = { ...(settleAfter && { settleAfter }) };
      const onStart = (state: TrainState) => {
        state.lossScale = { scale: 2 ** 22, updates: 0 };
      };
      const [usual, mixed] = [await run(options), await run({ ...options, onStart })];
      expect(mixed.steps.some(({ skipped }) => skipped)).toBe(false);
      const { scale, updates } = mixed.captured?.lossScale ?? { scale: 0, updates: 0 };
      expect(scale).toBeLessThan(2 ** 22);
      expect(updates).toBeGreaterThan(0);
      expect(mixed.steps.map(({ rows }) => rows)).toEqual(usual.steps.map(({ rows }) => rows));
      for (const [i, loss] of usual.losses.entries())
        expect(Math.abs(mixed.losses[i]! / loss - 1)).toBeLessThan(1e-3);
    },
  );

  test("the scale grows after 2000 updates", () => {
    expect(afterUpdate({ scale: 8, updates: 1998 })).toEqual({ scale: 8, updates: 1999 });
    expect(afterUpdate({ scale: 8, updates: 1999 })).toEqual({ scale: 16, updates: 0 });
  });

  test("activations beyond f16 are named, and what to do", async () => {
    if (!device.info.f16) return;
    const wanted = /is that of model\.layers\.0\..*; in f32 all are finite, and f16 ends at 65 504/;
    await expect(run({ maxSteps: 2 }, open(undefined, LLAMA, 2000))).rejects.toThrow(wanted);
  });

  test("what it is not for is refused before anything is changed", async () => {
    const refused = (options: TrainerOptions, method?: Method) => expect(run(options, open(method))).rejects;
    if (!device.info.f16) {
      await refused({}).toThrow(/have no f16/);
      return;
    }
    await refused({ activationBits: 8 }).toThrow(/activationBits is 8/);
    await refused({}, adalora({ targetModules: ["q_proj"] })).toThrow(/reads the gradients themselves/);
    await refused({}, oft({ r: 0, oftBlockSize: 8 })).toThrow(
      /mixed precision is not for this model or method/,
    );
    await refused({ precision: "fp16" as never }).toThrow(/precision is "fp16", wanted one of f32, mixed/);
  });
});
