// Packed, left-padded, right-padded and single rows give the same losses and gradients, in every architecture.
import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { LabelledTokens } from "../../src/data/sequence.ts";
import { loadAdapter } from "../../src/load/adapter.ts";
import { type LoadedModel, openTaskModel } from "../../src/load/model.ts";
import type { Task } from "../../src/models/model.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { languageModelling } from "../../src/train/language-modelling.ts";
import type { Counted, Objective } from "../../src/train/objective.ts";
import { Optimizer } from "../../src/train/optimizer.ts";
import { accumulateGradients } from "../../src/train/pass.ts";
import { edited } from "../support/checkpoint-edits.ts";
import { testDevice } from "../support/device.ts";
import { fixturePath, type Golden, goldenSequences, readJsonFile, readTensors } from "../support/fixtures.ts";
import { LAYOUTS, layItems, type RowsOfItems } from "../support/layouts.ts";
import { openTestTask, type TaskGolden, taskCase } from "../support/task-fixtures.ts";

/** Mean loss and the gradient of each trained tensor. */
interface Result {
  loss: number;
  gradients: Map<string, Float32Array>;
}

interface Case {
  task: Task;
  items: readonly never[];
  /** Losses and gradients of the items in these micro-batches, summed as in a step. */
  run(batches: readonly RowsOfItems[], items?: readonly never[]): Promise<Result>;
}

const families = ["llama-gqa", ...readdirSync(fixturePath("families")).map((name) => `families/${name}`)];
const tasks = readdirSync(fixturePath("tasks"))
  .filter((name) => name !== "vit")
  .map((name) => `tasks/${name}`);

async function open(name: string, opened?: LoadedModel): Promise<Case> {
  const folder = fixturePath(name);
  const model = opened ?? (await openTestTask(folder));
  const adapter = await loadAdapter(model, folderFiles(`${folder}/adapter`));
  const { task } = model;
  const known =
    task === "causal-lm" && !name.startsWith("tasks/")
      ? {
          objective: languageModelling(model) as unknown as Objective<never>,
          items: goldenSequences(readJsonFile<Golden>(folder, "golden.json")) as never[],
        }
      : taskCase(
          model,
          readJsonFile<TaskGolden>(folder, "golden.json"),
          await readTensors(folder, "golden.safetensors"),
        );
  const run = async (layouts: readonly RowsOfItems[], items = known.items): Promise<Result> => {
    const optimizer = new Optimizer(adapter.parameters);
    const batches = layouts.map((layout) => layItems(task, items, layout)) as (Counted & never)[];
    const terms = batches.reduce((sum, batch) => sum + (batch as Counted).terms, 0);
    const { objective } = known;
    const sum = accumulateGradients(objective, adapter.parameters, optimizer.gradients, batches, { seed: 0 });
    const loss = ((await sum.read())[0] as number) / terms;
    const gradients = new Map<string, Float32Array>();
    for (const { name, tensor } of adapter.parameters.entries)
      gradients.set(name, (await optimizer.gradients.get(tensor)?.read()) as Float32Array);
    optimizer.release();
    return { loss, gradients };
  };
  return { task, items: known.items, run };
}

function expectSame(got: Result, want: Result): void {
  expect(Math.abs(got.loss / want.loss - 1)).toBeLessThan(1e-5);
  const norm = (values: Float32Array) => Math.hypot(...values);
  const whole = Math.hypot(...[...want.gradients.values()].map(norm));
  for (const [name, gradient] of want.gradients) {
    const difference = gradient.map((value, i) => value - (got.gradients.get(name)?.[i] ?? Number.NaN));
    // A gradient that is small beside the others comes from the difference of larger numbers, whose rounding it shows.
    expect(norm(difference) / Math.max(norm(gradient), whole / 50), name).toBeLessThan(1e-5);
  }
}

const [usual, ...others] = Object.keys(LAYOUTS) as [string, ...string[]];
const layout = (name: string) => LAYOUTS[name] as RowsOfItems;
const SINGLE: RowsOfItems[] = [0, 1, 2].map((item) => ({ rows: [[item]], padToMultipleOf: 1 }));

describe.each([...families, ...tasks])("%s", (name) => {
  test(`${others.join("; ")}: as ${usual}`, async () => {
    const { run } = await open(name);
    const want = await run([layout(usual)]);
    for (const other of others) expectSame(await run([layout(other)]), want);
  });

  // Pairs are told apart from the others of their batch: one alone has no loss.
  const isPaired = name.endsWith("-embedding");
  test.skipIf(isPaired)("one by one: as together", async () => {
    const { items, run } = await open(name);
    // Frequencies may depend on the longest text of a batch, as in transformers: texts of one length agree.
    const shortest = Math.min(...items.map(({ inputIds }: LabelledTokens) => inputIds.length));
    const cut = items.map((item: LabelledTokens) => ({
      ...item,
      inputIds: item.inputIds.slice(0, shortest),
      ...(Array.isArray(item.labels) && { labels: item.labels.slice(0, shortest) }),
    })) as never[];
    const config = JSON.stringify(readJsonFile(fixturePath(name), "config.json"));
    const given = /"rope_type":"(dynamic|longrope)"/.test(config) ? cut : items;
    expectSame(await run(SINGLE, given), await run([layout(usual)], given));
  });
});

// The loss is that of transformers 5.18 with PEFT 0.21; without scaling it is 7.558385.
test("the frequencies of GPT-NeoX follow the longest text, not its row", async () => {
  const rope = { rope_type: "dynamic", factor: 4, rope_theta: 10_000, partial_rotary_factor: 1 };
  const files = await edited("tasks/gpt-neox-sequential", ({ tensors, config }) => ({
    tensors,
    config: { ...config, max_position_embeddings: 6, rope_parameters: rope },
  }));
  const scaled = await open("tasks/gpt-neox-sequential", await openTaskModel(files, await testDevice()));
  const want = await scaled.run([layout(usual)]);
  for (const other of others) expectSame(await scaled.run([layout(other)]), want);
  expect(Math.abs(want.loss - 7.567044)).toBeLessThan(1e-5);
});
