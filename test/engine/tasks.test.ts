import { describe, expect, expectTypeOf, test } from "vitest";
import {
  attach,
  type ClassifierEvaluation,
  evaluate,
  inspectData,
  loadModel,
  loadModelText,
  loadTaskModel,
  lora,
  planTraining,
  type StepMetrics,
  train,
} from "../../src/index.node.ts";
import { temporaryFolder } from "../platform/environment.ts";
import { testDevice } from "../support/device.ts";
import { BUNDLED_MODEL } from "../support/fixtures.ts";
import { LETTERS, writeTaskModel } from "../support/task-model.ts";
import { openNodeEngine } from "./node-engine.ts";

const METHOD = { method: "lora", r: 2, alpha: 4, targetModules: "all-linear" } as const;
const { method: _, ...LORA } = METHOD;
const OPTIONS = { maxSteps: 3, batchSize: 2, learningRate: 1e-2, seed: 1 };
const HEAD = { task: "sequence-classification", labels: ["no", "yes"] } as const;
const TEXTS = LETTERS.slice(0, 6).map((letter, i) => ({
  text: `${i % 2 ? "good" : "bad"} film ${letter}`,
  label: i % 2 ? "yes" : "no",
}));
const PAIRS = [
  { prompt: "Tom put", chosen: " 9 pink candles in the barn.", rejected: " 3 red lamps." },
  { prompt: "Where", chosen: " is it?", rejected: " are 3 red lamps." },
  { prompt: "Ben hid", chosen: " the lamp.", rejected: " 3 red lamps." },
];

const filesOf = (rows: readonly object[]) => ({
  label: "dropped",
  files: new Map([["rows.jsonl", new Blob([rows.map((row) => JSON.stringify(row)).join("\n")])]]),
});

async function lossesOf(steps: AsyncIterable<StepMetrics>): Promise<number[]> {
  const losses: number[] = [];
  for await (const { loss } of steps) losses.push(loss);
  return losses;
}

test("a classifier in the engine: trained, judged, planned and looked at as by the library", async () => {
  const folder = writeTaskModel(temporaryFolder(), "bert-sequence");
  const engine = await openNodeEngine();
  const model = await engine.loadTaskModel(folder, HEAD);
  const adapter = await engine.attach(model, METHOD, { seed: 3 });
  expect(model.facts).toMatchObject({ ...HEAD, name: folder });

  const device = await testDevice();
  const plain = await loadTaskModel(folder, { device, ...HEAD });
  const own = attach(plain, lora(LORA), { seed: 3 });
  const expected = await lossesOf(train(plain, own, TEXTS, OPTIONS));
  const reports: unknown[] = [];
  const told = { onData: (report: unknown) => reports.push(report), onCompile: () => {} };
  expect(await lossesOf(engine.train(model, adapter, TEXTS, { ...OPTIONS, ...told }))).toEqual(expected);
  expect(reports).toMatchObject([{ rows: 6, labels: [{ count: 3 }, { count: 3 }] }]);
  const judged = await engine.evaluate(model, filesOf(TEXTS));
  expectTypeOf(judged).toEqualTypeOf<ClassifierEvaluation>();
  expect(judged).toEqual(await evaluate(plain, TEXTS));

  const plan = { batchSize: 2, maxLength: 12, search: false } as const;
  const ofFiles = await planTraining(folder, { ...plan, ...HEAD, device, method: lora(LORA) });
  expect(await engine.planTraining(model, { ...plan, method: METHOD })).toEqual(ofFiles);
  const ofRows = await engine.planTraining(model, { ...plan, method: METHOD, rows: TEXTS });
  expect(ofRows.maxLength).toBe(5); // [CLS] good film a [SEP]
  expect(ofRows.use.peak).toBeLessThan(ofFiles.use.peak);
  const streamed = await engine.planTraining(model, { ...plan, method: METHOD, rows: filesOf(TEXTS) });
  expect(streamed.use.peak).toBe(ofRows.use.peak);

  const looked = await inspectData(plain, TEXTS, { task: HEAD.task });
  expect(await engine.inspectData(model, TEXTS)).toEqual(looked);
  expect(looked.report.labels).toEqual([
    { name: "no", count: 3 },
    { name: "yes", count: 3 },
  ]);
  own.release();
  plain.release();
});

test("preferences in the engine, of rows in memory and in files", async () => {
  const engine = await openNodeEngine();
  const model = await engine.loadModel(BUNDLED_MODEL);
  const device = await testDevice();
  const plain = await loadModel(BUNDLED_MODEL, { device });
  const task = { name: "dpo", beta: 0.3 } as const;
  const own = attach(plain, lora(LORA), { seed: 3 });
  const expected = await lossesOf(train(plain, own, PAIRS, { ...OPTIONS, task }));
  for (const rows of [PAIRS, filesOf(PAIRS)]) {
    const adapter = await engine.attach(model, METHOD, { seed: 3 });
    expect(await lossesOf(engine.train(model, adapter, rows, { ...OPTIONS, task }))).toEqual(expected);
    expect(await engine.evaluate(model, rows, { task })).toEqual(await evaluate(plain, PAIRS, { task }));
    await engine.release(adapter);
  }
  const plan = { batchSize: 2, maxLength: 64, search: false } as const;
  const planned = await engine.planTraining(model, { ...plan, task, method: METHOD });
  expect(planned).toEqual(await planTraining(BUNDLED_MODEL, { ...plan, task, device, method: lora(LORA) }));
  const ofTexts = await engine.planTraining(model, { ...plan, method: METHOD });
  expect(planned.use.peak).toBeGreaterThan(ofTexts.use.peak); // two answers a row, and a reference
  const rewarded = await engine.planTraining(BUNDLED_MODEL, { ...plan, task: "reward", method: METHOD });
  expect(rewarded.trainable).toBe(ofTexts.trainable + Number(model.facts.config.hiddenSize)); // a head of one score

  const text = await loadModelText(BUNDLED_MODEL);
  const looked = await inspectData(text, PAIRS, { task: "dpo" });
  expect(await engine.inspectData(BUNDLED_MODEL, filesOf(PAIRS), { task: "dpo" })).toMatchObject({
    report: { answers: looked.report.answers, longerChosen: looked.report.longerChosen },
  });
  own.release();
  plain.release();
});

describe("what the engine refuses", () => {
  test("a task of another head, a classifier that is to write, and images in files of rows", async () => {
    const folder = writeTaskModel(temporaryFolder(), "bert-sequence");
    const engine = await openNodeEngine();
    const model = await engine.loadTaskModel(folder, HEAD);
    const adapter = await engine.attach(model, METHOD);
    await expect(engine.train(model, adapter, PAIRS, { task: "dpo" }).ended).rejects.toThrow(
      /the task dpo wants a model for causal-lm/,
    );
    await expect(lossesOf(engine.generate(model as never, "a") as never)).rejects.toThrow(
      /is a model for sequence-classification, wanted one for causal-lm/,
    );
    await expect(
      engine.evaluate(model, filesOf([]) as never, { task: "image-classification" }),
    ).rejects.toThrow(/images are no rows of a file/);
  });
});
