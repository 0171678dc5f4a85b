import { expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { type ItemSource, listSource } from "../../src/data/feed/item-source.ts";
import type { PackingReport } from "../../src/data/packing.ts";
import { IGNORE_INDEX, type Sequence } from "../../src/data/sequence.ts";
import { type StepMetrics, trainSequences } from "../../src/train/trainer.ts";
import type { TrainerOptions } from "../../src/train/trainer-options.ts";
import { createRandom } from "../../src/util/random.ts";
import { fixturePath, openTestModel } from "../support/fixtures.ts";

const folder = fixturePath("llama-gqa");
const random = createRandom(2);
const ROWS = Array.from({ length: 11 }, (_, i): Sequence => {
  const inputIds = Array.from({ length: 3 + ((5 * i) % 9) }, () => random.integer(60));
  return { inputIds, labels: [IGNORE_INDEX, ...inputIds.slice(1)] };
});
const nameOf = (place: number) => `rows.jsonl:${place + 1}`;
const SOURCE = listSource(ROWS, { lengths: [ROWS.length] }, nameOf);

async function run(
  rows: readonly Sequence[] | ItemSource<Sequence>,
  options: TrainerOptions,
): Promise<StepMetrics[]> {
  const model = await openTestModel(folder);
  const adapter = attach(model, lora({ r: 2, alpha: 4, dropout: 0.1 }), { seed: 3 });
  const metrics: StepMetrics[] = [];
  for await (const step of trainSequences(model, adapter.parameters, rows, options)) metrics.push(step);
  adapter.release();
  model.release();
  return metrics;
}

const told = ({ seconds: _, peakBytes: __, rows, ...rest }: StepMetrics) => {
  return { ...rest, rows: rows.map((name) => name.replace(/^\D+/, "")) };
};

test("a run on rows that come when they are needed is that on a list, to the bit", async () => {
  const options = { batchSize: 2, gradientAccumulationSteps: 2, epochs: 2, seed: 4 };
  const list = await run(ROWS, options);
  expect(list).toHaveLength(6);
  expect((await run(SOURCE, options)).map(told)).toEqual(list.map(told));
});

test("rows that are packed as they come are learnt once each in an epoch", async () => {
  const reports: PackingReport[] = [];
  const options: TrainerOptions = {
    packing: true,
    maxLength: 16,
    batchSize: 1,
    epochs: 2,
    onPacking: (report) => reports.push(report),
  };
  const metrics = await run(SOURCE, options);
  const list = await run(ROWS, options);
  expect(reports).toHaveLength(2);
  expect(reports[0]).toEqual(reports[1]);
  const sum = (steps: readonly StepMetrics[], epoch: number) =>
    steps.filter((step) => step.epoch === epoch).reduce((total, { tokens }) => total + tokens, 0);
  const tokens = ROWS.reduce((total, { inputIds }) => total + inputIds.length, 0);
  expect(metrics).toHaveLength(list.length);
  for (const epoch of [0, 1]) expect([sum(metrics, epoch), sum(list, epoch)]).toEqual([tokens, tokens]);
});

test("rows of like lengths are drawn together from as many batches as there are", async () => {
  const metrics = await run(SOURCE, { groupByLength: true, batchSize: 2, shuffle: false });
  const lengths = ROWS.map(({ inputIds }) => inputIds.length);
  const pairs = Array.from({ length: 6 }, (_, i) => lengths.slice(2 * i, 2 * i + 2));
  expect(metrics.map(({ tokens }) => tokens)).toEqual(pairs.map(([a = 0, b = 0]) => a + b));
});

test("what is wrong with a row is told by its name, when it comes", async () => {
  const alien = { inputIds: [1, 1_000_000], labels: [IGNORE_INDEX, 2] };
  const source = {
    ...SOURCE,
    get: async (places: readonly number[]) =>
      places.map((place) => ({ item: place === 5 ? alien : (ROWS[place] as Sequence), place })),
  };
  const model = await openTestModel(folder);
  const adapter = attach(model, lora({ r: 2 }));
  const options = { batchSize: 1, shuffle: false };
  const done: number[] = [];
  const steps = async () => {
    for await (const { step } of trainSequences(model, adapter.parameters, source, options)) done.push(step);
  };
  await expect(steps()).rejects.toThrow(/rows\.jsonl:6 has inputIds\[1\] 1000000/);
  expect(done).toEqual([1, 2, 3, 4, 5]);
  await expect(run(listSource([], { lengths: [0] }, nameOf), {})).rejects.toThrow(
    /there is nothing to train on/,
  );
  adapter.release();
  model.release();
});

test("data sets with weights are drawn by their shares", async () => {
  const source = listSource(ROWS, { lengths: [3, 8], weights: [1, 1] }, nameOf);
  const metrics = await run(source, { batchSize: 1, epochs: 2 });
  expect(metrics).toHaveLength(12);
  expect((await run(source, { batchSize: 1, epochs: 2 })).map(told)).toEqual(metrics.map(told));
});
