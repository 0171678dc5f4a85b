import { expect, test } from "vitest";
import { tableWith } from "../../src/cli/method-table.ts";
import { fittingBatch } from "../../src/cli/plan/fit-batch.ts";
import { settle } from "../../src/cli/settings.ts";
import { TRAIN_OPTIONS } from "../../src/cli/tables/train.ts";
import type { BoundRows } from "../../src/cli/task.ts";
import { TYPICAL_GPU } from "../../src/gpu/shape-device.ts";
import type { LoadedModel } from "../../src/load/model.ts";
import { openShapeModel } from "../../src/load/shape-model.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { languageModelling } from "../../src/train/language-modelling.ts";
import { measurable } from "../../src/train/plan/measurable.ts";
import { planFiles } from "../../src/train/plan/plan-training.ts";
import { fixturePath } from "../support/fixtures.ts";

const files = folderFiles(fixturePath("tasks/gpt-neox"));
const items = Array.from({ length: 8 }, () => ({
  inputIds: new Array(20).fill(1),
  labels: new Array(20).fill(1),
}));
const measurableOn = (model: LoadedModel) => measurable(languageModelling(model as never), items);

/** What train takes with so much memory, and what it says. */
async function batchFor(memory: number | undefined): Promise<{ rows: number; told: string[] }> {
  const given = { model: "m", data: ["d"], ...(memory !== undefined && { memory: `${memory}` }) };
  const values = Object.entries(given).map(([key, value]) => ({ key, name: key, value }));
  const { settings } = settle("train", tableWith(TRAIN_OPTIONS, "lora"), [values]);
  const { model } = await openShapeModel(files, TYPICAL_GPU, { task: "causal-lm" });
  const told: string[] = [];
  const rows = { measurable: measurableOn, count: items.length } as unknown as BoundRows; // no more is asked of them
  const run = { files, head: { task: "causal-lm" as const }, model, rows, resumed: undefined };
  return { rows: await fittingBatch(settings, run, (line) => told.push(line)), told };
}

const total = async (batchSize: number) =>
  (await planFiles(files, { batchSize, rows: measurableOn, search: false })).use.total;

test("where nobody says, a batch has as many rows as usual, or as fit", async () => {
  expect(await batchFor(undefined)).toEqual({ rows: 4, told: [] });
  expect((await batchFor(await total(4))).rows).toBe(4);
  const { rows, told } = await batchFor(await total(2));
  expect(rows).toBe(2);
  expect(told).toEqual([
    expect.stringMatching(
      /^Batch: 2 in place of 4, because [\d.]+ MB are needed, and there are [\d.]+ MB \(--per/,
    ),
  ]);
  const least = await batchFor(1000);
  expect(least.rows).toBe(1);
  expect(least.told[0]).toMatch(/^Batch: 1 in place of 4, which does not fit either: plan says what would/);
});
