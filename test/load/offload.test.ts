import { describe, expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { measureUpload } from "../../src/gpu/offload.ts";
import { type OpenOptions, openModel } from "../../src/load/model.ts";
import { offloadedLayers } from "../../src/load/offload.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { evaluate } from "../../src/train/evaluate.ts";
import { generateTokens } from "../../src/train/generate.ts";
import { trainSequences } from "../../src/train/trainer.ts";
import type { TrainerOptions } from "../../src/train/trainer-options.ts";
import { testDevice } from "../support/device.ts";
import { fixturePath } from "../support/fixtures.ts";

/** Four layers, in bf16. */
const DEMO = "models/demo";
const ids = (seed: number) => Array.from({ length: 12 }, (_, i) => 1 + ((seed * 31 + i * 7) % 40));
const SEQUENCES = [1, 2, 3, 4].map((seed) => ({ inputIds: ids(seed), labels: ids(seed) }));

interface Outcome {
  readonly adapter: Float32Array;
  readonly losses: readonly number[];
  readonly tokens: readonly number[];
}

/** Trains, evaluates and generates. */
async function outcome(open: OpenOptions, options: TrainerOptions, folder = DEMO): Promise<Outcome> {
  const model = await openModel(folderFiles(folder), await testDevice(), open);
  const adapter = attach(model, lora({ r: 4, targetModules: "all-linear", dropout: 0.1 }));
  const losses: number[] = [];
  const settings = { batchSize: 2, maxSteps: 2, learningRate: 1e-2, ...options };
  for await (const { loss } of trainSequences(model, adapter.parameters, SEQUENCES, settings))
    losses.push(loss);
  losses.push((await evaluate(model, SEQUENCES)).loss);
  const tokens: number[] = [];
  for await (const id of generateTokens(model, ids(5), { maxNewTokens: 4, eosTokenIds: [] })) tokens.push(id);
  const values = await adapter.parameters.flat.read();
  adapter.release();
  model.release();
  return { adapter: values, losses, tokens };
}

describe("with layers on the host, everything comes out the same", () => {
  test.each<[string, OpenOptions, TrainerOptions]>([
    ["in bf16, three of four", { offload: 3 }, {}],
    ["recomputed layer by layer", {}, { gradientCheckpointing: true }],
    ["in nf4 with double quantisation", { quantization: { format: "nf4", doubleQuantization: true } }, {}],
    ["in int8, two micro-batches", { quantization: "int8" }, { batchSize: 1, gradientAccumulationSteps: 2 }],
    [
      "stacked anew, copies sharing weights",
      {
        layerReplication: [
          [0, 3],
          [1, 4],
        ],
      },
      {},
    ],
  ])("%s", async (_, open, options) => {
    const wanted = await outcome({ ...open, offload: false }, options);
    const before = (await testDevice()).memory.stats.used;
    expect(await outcome({ offload: true, ...open }, options)).toEqual(wanted);
    expect((await testDevice()).memory.stats.used).toBe(before);
  });

  test("GPT-2, whose matrices lie the other way round", async () => {
    const folder = fixturePath("tasks/gpt2");
    expect(await outcome({ offload: true }, {}, folder)).toEqual(await outcome({}, {}, folder));
  });
});

test("the device has room for two layers, and each step brings every layer twice, less what is there still", async () => {
  const device = await testDevice();
  const used = async (options: OpenOptions) => {
    const before = device.memory.stats.used;
    const model = await openModel(folderFiles(DEMO), device, options);
    return { model, bytes: device.memory.stats.used - before };
  };
  const [whole, { model, bytes }] = [await used({}), await used({ offload: true })];
  const { offload } = model;
  const layer = (offload?.bytes ?? 0) / 4;
  expect(offload?.layers).toBe(4);
  expect(layer).toBe(2 * (2 * 128 * 128 + 2 * 64 * 128 + 3 * 448 * 128));
  expect(Math.abs(whole.bytes - bytes - 2 * layer) / layer).toBeLessThan(0.05); // the pool rounds up
  const adapter = attach(model, lora({ r: 4, targetModules: "all-linear" }));
  const counts: number[] = [];
  const settings = { batchSize: 2, maxSteps: 3 };
  for await (const _ of trainSequences(model, adapter.parameters, SEQUENCES, settings))
    counts.push(offload?.uploaded ?? 0);
  expect((counts[2]! - counts[1]!) / layer).toBe(4);
  expect(await measureUpload(device)).toBeGreaterThan(1e6);
  adapter.release();
  model.release();
  whole.model.release();
});

test("a model that goes while a layer's upload is recorded takes nothing from what is submitted later", async () => {
  const device = await testDevice();
  const model = await openModel(folderFiles(fixturePath("families/granite")), device, { offload: 1 });
  const adapter = attach(model, lora({ r: 2, useDora: true, targetModules: ["v_proj"] })); // reads the weights
  adapter.release();
  model.release();
  device.gpu.pushErrorScope("validation");
  await device.sync();
  expect(await device.gpu.popErrorScope()).toBeNull();
});

test("which layers: all, or so many of them, evenly spread", () => {
  const names = Array.from({ length: 6 }, (_, i) => `h.${i}.fc.0.weight`).concat("wte.weight");
  const chosen = (offload: boolean | number) =>
    names.flatMap((name) => offloadedLayers(names, offload)(name) ?? []);
  expect(chosen(true)).toEqual(["h.0", "h.1", "h.2", "h.3", "h.4", "h.5"]);
  expect(chosen(3)).toEqual(["h.0", "h.2", "h.4"]);
  expect(() => chosen(7)).toThrow("7 layers are to stay on the host, and the model has 6");
});
