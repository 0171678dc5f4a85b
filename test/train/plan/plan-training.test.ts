import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { lora } from "../../../src/adapters/lora/lora.ts";
import { TYPICAL_GPU } from "../../../src/gpu/shape-device.ts";
import { memoryFiles } from "../../../src/io/files/files.ts";
import { folderFiles } from "../../../src/platform/node-files.ts";
import { type PlanOptions, planFiles } from "../../../src/train/plan/plan-training.ts";
import { fixturePath } from "../../support/fixtures.ts";

const folder = fixturePath("tasks/gpt-neox");
const files = folderFiles(folder);
const plan = (options: PlanOptions = {}) => planFiles(files, options);

/** A model of some size, by its config alone. */
function configOnly(changes: object = {}) {
  const config = {
    ...{ architectures: ["LlamaForCausalLM"], model_type: "llama", dtype: "bfloat16" },
    ...{ hidden_size: 256, intermediate_size: 512, num_hidden_layers: 2, num_attention_heads: 4 },
    ...{ num_key_value_heads: 2, vocab_size: 4096, max_position_embeddings: 2048, rms_norm_eps: 1e-5 },
    ...{ tie_word_embeddings: true, ...changes },
  };
  return memoryFiles("llama", new Map([["config.json", new TextEncoder().encode(JSON.stringify(config))]]));
}

test("a config without weights is planned as the checkpoint is", async () => {
  const config = readFileSync(join(folder, "config.json"));
  const warnings: string[] = [];
  const alone = await planFiles(memoryFiles("alone", new Map([["config.json", config]])), {
    search: false,
    onWarning: (line) => warnings.push(line),
  });
  const whole = await plan({ search: false });
  expect(alone.use).toEqual(whole.use);
  expect(alone.parameters).toBe(whole.parameters);
  expect(warnings.join()).toMatch(/there are no weights: config\.json says their shapes, in f32/);
});

test("the largest batch and length are those, and one more is too many", async () => {
  const files = configOnly();
  const options: PlanOptions = { batchSize: 2, maxLength: 256, memory: 100e6 };
  const { largest, problems, memory } = await planFiles(files, options);
  expect([problems, memory]).toEqual([[], 100e6]);
  const { batchSize = 0, maxLength = 0 } = largest;
  expect(batchSize).toBeGreaterThan(2);
  expect(maxLength).toBeGreaterThan(256);
  const total = async (changed: PlanOptions) =>
    (await planFiles(files, { ...options, ...changed, search: false })).use.total;
  expect(await total({ batchSize })).toBeLessThanOrEqual(100e6);
  expect(await total({ batchSize: batchSize + 1 })).toBeGreaterThan(100e6);
  expect(await total({ maxLength })).toBeLessThanOrEqual(100e6);
  expect(await total({ maxLength: maxLength + 64 })).toBeGreaterThan(100e6);
});

test("advice goes by what it costs, and ends where it fits", async () => {
  const files = configOnly();
  const needed = { batchSize: 8, maxLength: 1024 };
  const all = await planFiles(files, needed);
  expect(all.advice.map(({ change }) => change)).toEqual([
    ...["accumulate", "checkpoint", "shorten", "lower the rank", "quantise", "quantise"],
  ]);
  expect(all.advice[0]?.settings).toEqual({ batchSize: 1, gradientAccumulationSteps: 8 });
  const totals = all.advice.map(({ total }) => total);
  expect(totals).toEqual([...totals].sort((a, b) => b - a));
  const memory = totals[1]! + 1000;
  const some = await planFiles(files, { ...needed, memory });
  expect(some.problems[0]).toMatch(/^[\d.]+ MB are needed, and there are [\d.]+ MB$/);
  expect(some.advice.map(({ change, fits }) => [change, fits])).toEqual([
    ["accumulate", false],
    ["checkpoint", true],
  ]);
});

test("where only the host has room, as few layers as will do go there", async () => {
  const files = configOnly({ num_hidden_layers: 8 });
  const needed: PlanOptions = {
    ...{
      batchSize: 1,
      gradientCheckpointing: true,
      activationBits: 8,
      maxLength: 64,
      quantization: "nf4",
      method: lora({ r: 4 }),
    },
  };
  const { use } = await planFiles(files, { ...needed, search: false });
  const memory = use.total - 300_000; // more than a layer
  const { advice } = await planFiles(files, { ...needed, memory });
  expect(advice).toEqual([
    {
      ...{ change: "offload", settings: { offload: advice[0]?.offload?.layers }, fits: true },
      ...{ total: expect.any(Number), offload: { layers: expect.any(Number), bytes: expect.any(Number) } },
    },
  ]);
  const layers = advice[0]?.offload?.layers ?? 0;
  expect(layers).toBeGreaterThan(2); // two have room on the device
  expect(layers).toBeLessThan(8);
  const total = async (offload: number) =>
    (await planFiles(files, { ...needed, offload, search: false })).use.total;
  expect(await total(layers)).toBeLessThanOrEqual(memory);
  expect(await total(layers - 1)).toBeGreaterThan(memory);
});

test("what the device's limits forbid is told, with the figures all the same", async () => {
  const small = { ...TYPICAL_GPU, limits: { ...TYPICAL_GPU.limits, maxBufferSize: 2 ** 20 } };
  const { problems, use, largest } = await planFiles(configOnly(), { device: small });
  expect(problems).toEqual([
    expect.stringMatching(/^a buffer of [\d.]+ MB is needed, and one may have 1\.0 MB here/),
  ]);
  expect(use.largestBuffer).toBeGreaterThan(2 ** 20);
  expect(largest).toEqual({ batchSize: 0, maxLength: 0 });
  const narrow = { ...TYPICAL_GPU, limits: { ...TYPICAL_GPU.limits, maxStorageBufferBindingSize: 2 ** 20 } };
  const refused = await planFiles(configOnly(), { device: narrow, search: false });
  expect(refused.problems[0]).toMatch(/has \d+ bytes, and this device binds at most 1048576/);
});

test("fewer bits, lower ranks and shorter rows take less", async () => {
  const files = configOnly();
  const total = async (options: PlanOptions) =>
    (await planFiles(files, { ...options, search: false })).use.total;
  const base = await total({});
  expect(await total({ quantization: "nf4" })).toBeLessThan(base);
  expect(await total({ method: lora({ r: 4 }) })).toBeLessThan(base);
  expect(await total({ maxLength: 512 })).toBeLessThan(base);
  const rows = (await planFiles(files, { search: false })).use.rows;
  expect(rows.map(({ what }) => what)).toEqual(
    expect.arrayContaining(["base", "adapter", "gradients", "optimiser", "activations", "loss"]),
  );
});

test("everything that is wrong is told at once", async () => {
  const wrong = { batchSize: 0, memory: -1, ranks: 4 } as PlanOptions;
  await expect(plan(wrong)).rejects.toThrow(/3 problems:.*ranks.*batchSize is 0.*memory is -1/s);
  await expect(planFiles(memoryFiles("nowhere", new Map()))).rejects.toThrow(
    /nowhere\/config\.json: no such file/,
  );
});
