import { expect, test } from "vitest";
import { attach } from "../../../src/adapters/adapter.ts";
import { lora } from "../../../src/adapters/lora/lora.ts";
import { factsOf } from "../../../src/gpu/shape-device.ts";
import { openTaskModel } from "../../../src/load/model.ts";
import { openShapeModel } from "../../../src/load/shape-model.ts";
import { folderFiles } from "../../../src/platform/node-files.ts";
import { meanLoss } from "../../../src/train/evaluate.ts";
import { generateTokens } from "../../../src/train/generate.ts";
import { measurable } from "../../../src/train/plan/measurable.ts";
import { measureGeneration } from "../../../src/train/plan/other-passes.ts";
import { planFiles } from "../../../src/train/plan/plan-training.ts";
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
  const real = await write();
  adapter.release();
  model.release();
  const shape = await openShapeModel(files, factsOf(device), { task: "causal-lm" });
  attach(shape.model, lora({ r: 4 }));
  const lengths = { promptLength: 40, maxNewTokens: 100 };
  measureGeneration(shape, shape.model, lengths);
  const got = measureGeneration(shape, shape.model, lengths);
  expect(Math.abs(got / real - 1), `planned ${got}, took ${real}`).toBeLessThan(TOLERANCE);
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
