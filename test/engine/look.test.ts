import { expect, test } from "vitest";
import { inspectData, loadModel, loadModelText, lora, lossMap, planTraining } from "../../src/index.node.ts";
import { errorOf } from "../io/helpers.ts";
import { testDevice } from "../support/device.ts";
import { BUNDLED_MODEL } from "../support/fixtures.ts";
import { openNodeEngine } from "./node-engine.ts";

const ROWS = ["one red lamp", "two blue cups with a lid"].map((text) => ({
  prompt: "Once",
  completion: ` upon a time ${text}`,
}));
const FILES = {
  label: "dropped",
  files: new Map([["rows.jsonl", new Blob([ROWS.map((row) => JSON.stringify(row)).join("\n")])]]),
};

test("the engine plans a run before its model is loaded, and after it, as the library does", async () => {
  const engine = await openNodeEngine();
  const device = await testDevice();
  const options = { maxLength: 256, batchSize: 2, search: false } as const;
  const expected = await planTraining(BUNDLED_MODEL, { ...options, device, method: lora({ r: 4 }) });
  const method = { method: "lora", r: 4 };
  expect(await engine.planTraining(BUNDLED_MODEL, { ...options, method })).toEqual(expected);
  const model = await engine.loadModel(BUNDLED_MODEL, { quantization: "int8" });
  const quantised = await engine.planTraining(model, { ...options, method });
  expect(quantised.use.total).toBeLessThan(expected.use.total);
  const ofRows = await engine.planTraining(model, { ...options, method, rows: FILES });
  expect(ofRows.use.peak).toBeLessThan(quantised.use.peak); // the rows are shorter than 256 tokens
  const wrong = await errorOf(() => engine.planTraining(model, { maxLenght: 3 } as object));
  expect(String(wrong)).toMatch(/planTraining[\s\S]*did you mean maxLength/);
});

test("the engine looks at rows as the library does, with a model and with its name", async () => {
  const engine = await openNodeEngine();
  const text = await loadModelText(BUNDLED_MODEL);
  const expected = await inspectData(text, ROWS, { maxLength: 12 });
  expect(await engine.inspectData(BUNDLED_MODEL, ROWS, { maxLength: 12 })).toEqual(expected);
  const model = await engine.loadModel(BUNDLED_MODEL);
  const judged = await engine.inspectData(model, FILES, { judged: ROWS, maxLength: 12 });
  expect(judged.rows.map(({ name }) => name)).toEqual(["rows.jsonl:1", "rows.jsonl:2"]);
  expect(judged.report.findings.map(({ kind }) => kind)).toContain("overlap");
});

test("the engine says what each token costs, with adapters and without", async () => {
  const engine = await openNodeEngine();
  const model = await engine.loadModel(BUNDLED_MODEL);
  const plain = await loadModel(BUNDLED_MODEL, { device: await testDevice() });
  const [first, second] = await engine.lossMap(model, ROWS);
  expect([first, second]).toEqual(await lossMap(plain, ROWS));
  expect(first?.tokens[0]).toMatchObject({ role: "masked" });
  expect(first?.losses[0]).toBeNaN();
  const learnt = [...(second?.losses ?? [])].filter((loss) => !Number.isNaN(loss));
  expect(learnt).toHaveLength(second?.tokens.filter(({ role }) => role === "trained").length ?? 0);
  const both = [first, second].flatMap((row) => [...(row?.losses ?? [])]).filter((loss) => loss >= 0);
  const { loss } = await engine.evaluate(model, ROWS);
  expect(both.reduce((sum, each) => sum + each, 0) / both.length).toBeCloseTo(loss, 4);
  const files = await engine.lossMap(model, FILES, { rows: 1 });
  expect(files.map(({ name, tokens }) => ({ name, tokens }))).toEqual([
    { name: "rows.jsonl:1", tokens: first?.tokens },
  ]);
  plain.release();
});
