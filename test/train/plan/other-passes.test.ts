import { expect, test } from "vitest";
import { attach } from "../../../src/adapters/adapter.ts";
import { lora } from "../../../src/adapters/lora/lora.ts";
import { factsOf } from "../../../src/gpu/shape-device.ts";
import { openModel, openTaskModel } from "../../../src/load/model.ts";
import { openShapeModel } from "../../../src/load/shape-model.ts";
import { folderFiles } from "../../../src/platform/node-files.ts";
import { meanLoss } from "../../../src/train/evaluate.ts";
import { generateTokens } from "../../../src/train/generate.ts";
import { measurable } from "../../../src/train/plan/measurable.ts";
import { measureGeneration } from "../../../src/train/plan/other-passes.ts";
import { planFiles } from "../../../src/train/plan/plan-training.ts";
import { trainSequences } from "../../../src/train/trainer.ts";
import { testDevice } from "../../support/device.ts";
import { fixturePath, readJsonFile } from "../../support/fixtures.ts";
import { type TaskGolden, taskCase } from "../../support/task-fixtures.ts";

const TOLERANCE = 0.02;

test.each(["tasks/gpt2", "tasks/bert-sequence"])(
  "an evaluation takes what is planned: %s",
  async (fixture) => {
    const device = await testDevice();
    const folder = fixturePath(fixture);
    const golden = readJsonFile<TaskGolden>(folder, "golden.json");
    const model = await openTaskModel(folderFiles(folder), device, { task: golden.task });
    const { objective, items } = taskCase(model, golden, new Map());
    const loss = () => meanLoss(objective, items, { batchSize: 2 });
    await loss(); // what is made once, such as tables of angles
    device.memory.resetPeak();
    const before = device.memory.stats.used;
    await loss();
    const real = device.memory.stats.peak - before;
    model.release();

    const shape = await openShapeModel(folderFiles(folder), factsOf(device), { task: golden.task });
    const planned = taskCase(shape.model, golden, new Map());
    const rows = measurable(planned.objective, planned.items);
    await rows.measureEvaluation(shape, 2);
    const got = await rows.measureEvaluation(shape, 2);
    expect(Math.abs(got / real - 1), `planned ${got}, took ${real}`).toBeLessThan(TOLERANCE);
  },
);

test("so does a text, with the keys and values of all its tokens", async () => {
  const device = await testDevice();
  const files = folderFiles("models/demo");
  const model = await openTaskModel(files, device, { task: "causal-lm" });
  const adapter = attach(model, lora({ r: 4 }));
  const prompt = new Array<number>(40).fill(5);
  const write = async () => {
    device.memory.resetPeak();
    const before = device.memory.stats.used;
    for await (const _ of generateTokens(model, prompt, { maxNewTokens: 100, eosTokenIds: [] }));
    return device.memory.stats.peak - before;
  };
  await write();
  const textures = device.textures.bytes;
  const real = await write();
  adapter.release();
  model.release();
  const shape = await openShapeModel(files, factsOf(device), { task: "causal-lm" });
  attach(shape.model, lora({ r: 4 }));
  const lengths = { promptLength: 40, maxNewTokens: 100 };
  measureGeneration(shape, shape.model, lengths);
  const got = measureGeneration(shape, shape.model, lengths);
  expect(Math.abs(got.passes / real - 1), `planned ${got.passes}, took ${real}`).toBeLessThan(TOLERANCE);
  expect(got.textures).toBe(textures);
  expect(shape.device.textures.bytes, "nothing is left behind").toBe(0);
});

test("a run that writes texts holds copies of weights from the first one on, where texts are read out of textures", async () => {
  const device = await testDevice();
  const files = folderFiles("models/demo");
  const row = { inputIds: new Array<number>(32).fill(5), labels: new Array<number>(32).fill(5) };
  const options = { batchSize: 2, optimizer: "adamw" } as const;
  const before = device.memory.stats.used;
  const model = await openModel(files, device);
  const adapter = attach(model, lora({ r: 4 }));
  device.memory.trim();
  device.memory.resetPeak();
  const run = trainSequences(model, adapter.parameters, [row, row], {
    ...{ ...options, maxSteps: 3, settleAfter: () => true },
  });
  for await (const { step } of run) {
    if (step !== 1) continue;
    const text = generateTokens(model, row.inputIds.slice(0, 24), { maxNewTokens: 8, eosTokenIds: [] });
    for await (const _ of text);
  }
  const real = device.memory.stats.peak - before;
  const { bytes } = device.textures;
  adapter.release();
  model.release();
  const planned = { ...options, device, maxLength: 32, maxNewTokens: 8, search: false };
  const { use, passes } = await planFiles(files, { ...planned, method: lora({ r: 4 }) });
  expect(Math.abs(use.peak / real - 1), `planned ${use.peak}, took ${real}`).toBeLessThan(TOLERANCE);
  expect(use.rows.find(({ what }) => what === "textures")?.bytes ?? 0).toBe(bytes);
  expect(use.rows.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(use.peak);
  const reads = device.info.readsTexels && !device.profile.sharesWork;
  expect(bytes > 0.05 * real).toBe(reads);
  expect(passes.generation).toBeGreaterThan(bytes);
  expect(passes.generation).toBeLessThanOrEqual(use.peak);
});

test("a run with large products of f32 holds the textures that these are read out of, where that is faster", async () => {
  const device = await testDevice();
  const files = folderFiles("models/demo");
  const tokens = new Array<number>(160).fill(5);
  const rows = new Array(4).fill({ inputIds: tokens, labels: tokens });
  const options = { batchSize: 4, optimizer: "adamw" } as const;
  const method = lora({ r: 4, modulesToSave: ["gate_proj"] }); // trained whole, and so in f32
  device.textures.clear();
  const before = device.memory.stats.used;
  const model = await openModel(files, device);
  const adapter = attach(model, method);
  device.memory.trim();
  device.memory.resetPeak();
  const run = trainSequences(model, adapter.parameters, rows, {
    ...options,
    maxSteps: 2,
    settleAfter: () => false,
  });
  for await (const _ of run);
  const real = device.memory.stats.peak - before;
  const { bytes } = device.textures;
  adapter.release();
  model.release();
  const { use } = await planFiles(files, { ...options, device, maxLength: 160, search: false, method });
  expect(Math.abs(use.peak / real - 1), `planned ${use.peak}, took ${real}`).toBeLessThan(TOLERANCE);
  expect(use.rows.find(({ what }) => what === "textures")?.bytes ?? 0).toBe(bytes);
  expect(bytes > 0).toBe(
    device.info.readsTexels && !device.profile.sharesWork && device.info.subgroupSize === 8,
  );
});

test("a plan has both, with what the run holds all the time, and refuses what they do not fit into", async () => {
  const files = folderFiles("models/demo");
  const options = { search: false, batchSize: 1, maxLength: 32, gradientCheckpointing: true };
  const { passes, use } = await planFiles(files, options);
  const held = use.rows.filter(({ what }) => /base|adapter|gradients|optimiser/.test(what));
  expect(passes.evaluation).toBeGreaterThan(held.reduce((sum, { bytes }) => sum + bytes, 0));
  expect(passes).not.toHaveProperty("generation");
  const more = await planFiles(files, { ...options, evalBatchSize: 64, maxNewTokens: 200 });
  expect(more.passes.evaluation).toBeGreaterThan(2 * passes.evaluation);
  expect(more.passes.generation).toBeGreaterThan(0);
  const { problems } = await planFiles(files, { ...options, evalBatchSize: 64, memory: use.total + 1000 });
  expect(problems).toEqual([
    expect.stringMatching(/^[\d.]+ MB are needed for the evaluation, and there are/),
  ]);
});
