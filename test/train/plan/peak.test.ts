import { expect, test } from "vitest";
import { attach } from "../../../src/adapters/adapter.ts";
import { lnTuning } from "../../../src/adapters/ln-tuning/ln-tuning.ts";
import { lora } from "../../../src/adapters/lora/lora.ts";
import type { Method } from "../../../src/adapters/method.ts";
import { prefixTuning } from "../../../src/adapters/prompts/prefix-tuning.ts";
import { vera } from "../../../src/adapters/vera/vera.ts";
import { factsOf } from "../../../src/gpu/shape-device.ts";
import { type LoadedModel, type OpenOptions, openTaskModel } from "../../../src/load/model.ts";
import { openShapeModel } from "../../../src/load/shape-model.ts";
import { folderFiles } from "../../../src/platform/node-files.ts";
import { measurable } from "../../../src/train/plan/measurable.ts";
import { trainObjective } from "../../../src/train/trainer.ts";
import type { TrainerOptions } from "../../../src/train/trainer-options.ts";
import { testDevice } from "../../support/device.ts";
import { fixturePath, readJsonFile } from "../../support/fixtures.ts";
import { type TaskGolden, taskCase } from "../../support/task-fixtures.ts";

/** What a run may differ by: buffers that another test of the same device has left, such as a table. */
const TOLERANCE = 0.02;

interface Case {
  readonly fixture: string;
  /** Where its golden.json is, unless beside it. */
  readonly batch?: string;
  readonly options?: TrainerOptions;
  readonly method?: Method;
  readonly open?: OpenOptions;
}

const CASES: Record<string, Case> = {
  "a decoder, two micro-batches, 8-bit moments": {
    fixture: "tasks/gpt-neox",
    options: { batchSize: 1, gradientAccumulationSteps: 2, optimizer: "adamw_8bit" },
  },
  "a decoder, recomputed layer by layer, Adafactor": {
    fixture: "tasks/gpt2",
    options: { gradientCheckpointing: true, optimizer: "adafactor" },
  },
  "a decoder, packed rows, Lion": {
    fixture: "tasks/opt",
    options: { packing: true, maxLength: 12, batchSize: 2, optimizer: "lion" },
  },
  "a decoder with its base in int8": { fixture: "tasks/gpt-neox", open: { quantization: "int8" } },
  "a decoder with its layers on the host, in nf4": {
    fixture: "tasks/opt",
    open: { offload: true, quantization: "nf4" },
  },
  "a decoder that is quantised in its file": { fixture: "quantised/bnb-nf4", batch: "quantised" },
  "a decoder in mixed precision": { fixture: "tasks/gpt2", options: { precision: "mixed" } },
  "a decoder, activations in 8 bits": { fixture: "tasks/gpt2", options: { activationBits: 8 } },
  "a classifier of texts, recomputed from inputs in 8 bits": {
    fixture: "tasks/bert-sequence",
    options: { activationBits: 8, gradientCheckpointing: true },
  },
  "a decoder, prefix tuning": { fixture: "tasks/opt", method: prefixTuning({ numVirtualTokens: 3 }) },
  "a classifier of texts, Muon": { fixture: "tasks/bert-sequence", options: { optimizer: "muon" } },
  "a classifier of tokens, VeRA, SGD": {
    fixture: "tasks/roberta-token",
    method: vera({ r: 4 }),
    options: { optimizer: "sgd", momentum: 0.9, batchSize: 1 },
  },
  "a classifier of images, DoRA": {
    fixture: "tasks/vit",
    method: lora({ r: 2, useDora: true, dropout: 0.1 }),
  },
  "an encoder of sentences, its norms trained": {
    fixture: "tasks/bert-embedding",
    method: lnTuning({ targetModules: ["LayerNorm"] }),
    options: { gradientCheckpointing: true },
  },
  "a model of masked tokens": { fixture: "tasks/distilbert-masked", options: { batchSize: 3 } },
};

/** Enough for the images of the fixture. */
const PIXELS = new Map([["pixels", new Float32Array(4096)]]);

test.each(Object.entries(CASES))("the plan's peak is the pool's: %s", async (_, given) => {
  const { fixture, batch = fixture, options = {}, method = lora({ r: 2 }), open = {} } = given;
  const device = await testDevice();
  if (options.precision === "mixed" && !device.info.f16) return; // refused there
  const folder = fixturePath(fixture);
  const files = folderFiles(folder);
  const golden = readJsonFile<TaskGolden>(fixturePath(batch), "golden.json");
  const settings = { batchSize: 2, ...options };
  const caseOf = (model: LoadedModel) => taskCase(model, golden, PIXELS);

  const before = device.memory.stats.used;
  const model = await openTaskModel(files, device, { task: golden.task, ...open });
  const adapter = attach(model, method);
  device.memory.trim();
  device.memory.resetPeak();
  const { objective, items } = caseOf(model);
  const run = trainObjective(objective, adapter.parameters, items, {
    ...{ ...settings, epochs: 2, learningRate: 1e-4 },
  });
  for await (const _ of run);
  const real = device.memory.stats.peak - before;
  adapter.release();
  model.release();

  const shape = await openShapeModel(files, factsOf(device), { task: golden.task, ...open });
  shape.ledger.phase = "adapter";
  const planned = caseOf(shape.model);
  const use = await measurable(planned.objective, planned.items).measure(
    shape,
    attach(shape.model, method),
    settings,
  );
  expect(Math.abs(use.peak / real - 1), `planned ${use.peak}, took ${real}`).toBeLessThan(TOLERANCE);
  expect(use.rows.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(use.peak);
  expect(use.total).toBeGreaterThanOrEqual(use.peak + use.staging);
});
