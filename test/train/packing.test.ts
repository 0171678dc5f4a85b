// What a packed run learns is what an unpacked one does: loss and gradients of the same rows agree to 1e-5.
import { afterAll, describe, expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import type { PackingReport } from "../../src/data/packing.ts";
import type { Sequence } from "../../src/data/sequence.ts";
import type { LoadedModel } from "../../src/load/model.ts";
import { requireTask, type Task } from "../../src/models/model.ts";
import {
  imageClassification,
  sequenceClassification,
  tokenClassification,
} from "../../src/train/classification.ts";
import { contrastive } from "../../src/train/contrastive.ts";
import { languageModelling } from "../../src/train/language-modelling.ts";
import { maskedLanguageModelling } from "../../src/train/masked-language-modelling.ts";
import type { Objective } from "../../src/train/objective.ts";
import { packRun } from "../../src/train/packed.ts";
import { type StepMetrics, trainObjective } from "../../src/train/trainer.ts";
import type { TrainerOptions } from "../../src/train/trainer-options.ts";
import { createRandom } from "../../src/util/random.ts";
import { fixturePath } from "../support/fixtures.ts";
import { openTestTask } from "../support/task-fixtures.ts";

const open = new Map<string, LoadedModel>();
const openOnce = async (name: string): Promise<LoadedModel> => {
  const model = open.get(name) ?? (await openTestTask(fixturePath(name)));
  open.set(name, model);
  return model;
};
afterAll(() => {
  for (const model of open.values()) model.release();
});

const random = createRandom(11);
const MAX_LENGTH = 16;
const ROWS: Sequence[] = [11, 3, 16, 5, 7, 2, 9, 4].map((length) => {
  const inputIds = Array.from({ length }, () => 5 + random.integer(25));
  return { inputIds, labels: inputIds.map((id, i) => (i < length / 3 ? -100 : id)) };
});

interface Run {
  metrics: StepMetrics[];
  values: Float32Array;
  report: PackingReport | undefined;
}

/** Trains a fresh adapter. */
async function run<Item>(
  model: LoadedModel,
  objective: Objective<Item>,
  items: readonly Item[],
  options: TrainerOptions,
): Promise<Run> {
  const adapter = attach(model, lora({ r: 2, alpha: 4, targetModules: "all-linear" }), { seed: 3 });
  try {
    let report: PackingReport | undefined;
    const onPacking = (packed: PackingReport) => {
      report = packed;
    };
    const settings = { learningRate: 0.01, batchSize: items.length, onPacking, ...options };
    const metrics: StepMetrics[] = [];
    for await (const step of trainObjective(objective, adapter.parameters, items, settings))
      metrics.push(step);
    return { metrics, values: await adapter.parameters.flat.read(), report };
  } finally {
    adapter.release();
  }
}

const decoder = async (name: string) => {
  const model = requireTask(await openOnce(name), "causal-lm");
  return { model: model as unknown as LoadedModel, objective: languageModelling(model) };
};

function expectSame(packed: Run, padded: Run): void {
  for (const [step, want] of padded.metrics.entries()) {
    const got = packed.metrics[step] as StepMetrics;
    expect([got.tokens, got.terms]).toEqual([want.tokens, want.terms]);
    expect(Math.abs(got.loss / want.loss - 1)).toBeLessThan(1e-5);
    expect(Math.abs(got.gradNorm / want.gradNorm - 1)).toBeLessThan(step === 0 ? 1e-5 : 1e-4);
  }
}

describe.each([
  ["llama-gqa", "rotated positions"],
  ["tasks/gpt2", "learnt positions"],
  ["tasks/opt", "learnt positions with an offset"],
  ["families/mistral", "a window"],
  ["families/gemma3", "windows in some layers"],
])("%s, %s", (name) => {
  test("packed rows give the losses and gradients of rows that are not", async () => {
    const { model, objective } = await decoder(name);
    const options = { maxSteps: 2, maxLength: MAX_LENGTH };
    const padded = await run(model, objective, ROWS, options);
    const packed = await run(model, objective, ROWS, { ...options, packing: true });
    expect(packed.report).toMatchObject({ rows: 8, sequences: 4, maxLength: 16, tokens: 57, fill: 57 / 64 });
    expectSame(packed, padded);
    const parts = await run(model, objective, ROWS, {
      ...options,
      packing: true,
      batchSize: 1,
      gradientAccumulationSteps: 4,
    });
    expectSame(parts, padded);
  });
});

describe("rows that were split", () => {
  const options: TrainerOptions = { maxSteps: 1, maxLength: 8, batchSize: 8 };
  test.each(["wrapped", "bfd_split"] as const)("%s: each part is a text of its own", async (packing) => {
    const { model, objective } = await decoder("llama-gqa");
    const { length } = ROWS[0]!.inputIds;
    const rows = [ROWS[0]!, ROWS[2]!];
    const cut = (row: Sequence, from: number, to: number): Sequence => ({
      inputIds: row.inputIds.slice(from, to),
      labels: row.labels.slice(from, to),
    });
    const parts =
      packing === "wrapped"
        ? [
            cut(rows[0]!, 0, 8),
            cut(rows[0]!, 8, length),
            cut(rows[1]!, 0, 5),
            cut(rows[1]!, 5, 13),
            cut(rows[1]!, 13, 16),
          ]
        : [cut(rows[0]!, 0, 8), cut(rows[0]!, 8, length), cut(rows[1]!, 0, 8), cut(rows[1]!, 8, 16)];
    const learnt = parts.filter(({ labels }) => labels.slice(1).some((label) => label !== -100));
    const want = await run(model, objective, learnt, options);
    expectSame(await run(model, objective, rows, { ...options, packing }), want);
  });

  test("a row may be longer than the model has positions, and its parts may not", async () => {
    const { model, objective } = await decoder("tasks/gpt2");
    const { maxPositions } = requireTask(model, "causal-lm").config;
    const inputIds = Array.from({ length: 3 * maxPositions }, (_, i) => 5 + (i % 25));
    const rows = [{ inputIds, labels: inputIds }];
    const { report } = await run(model, objective, rows, {
      ...options,
      maxLength: maxPositions,
      packing: "wrapped",
    });
    expect(report).toMatchObject({ rows: 1, sequences: 3, fill: 1 });
    await expect(run(model, objective, rows, { ...options, packing: true })).rejects.toThrow(/row 1 has/);
    const long = { ...options, maxLength: 2 * maxPositions, packing: "wrapped" } as const;
    await expect(run(model, objective, rows, long)).rejects.toThrow(/a part of row 1 has .* positions/);
  });
});

describe("other tasks", () => {
  // These models have 12 positions.
  const short = ROWS.map(({ inputIds, labels }) => ({
    inputIds: inputIds.slice(0, 12),
    labels: labels.slice(0, 12),
  }));
  const labelled = short.map(({ inputIds }, i) => ({ inputIds, label: i % 2 }));
  const tagged = short.map(({ inputIds }) => ({ inputIds, labels: inputIds.map((id) => id % 2) }));
  const OPTIONS: TrainerOptions = { maxSteps: 2, maxLength: 12 };
  const both = async <Item>(model: LoadedModel, objective: Objective<Item>, items: readonly Item[]) => {
    const padded = await run(model, objective, items, OPTIONS);
    const packed = await run(model, objective, items, { ...OPTIONS, packing: true });
    expect(packed.report?.sequences).toBe(5);
    expectSame(packed, padded);
    const wrapped = run(model, objective, items, { ...OPTIONS, packing: "wrapped" });
    await expect(wrapped).rejects.toThrow(/cannot be split, as wrapped does/);
  };
  const as = async <T extends Task>(name: string, task: T) => requireTask(await openOnce(name), task);

  test("classes of texts", async () => {
    const model = await as("tasks/bert-sequence", "sequence-classification");
    await both(model as unknown as LoadedModel, sequenceClassification(model), labelled);
    const pairs = labelled.map((item) => ({
      ...item,
      segments: item.inputIds.map((_, i) => (i < 2 ? 0 : 1)),
    }));
    await both(model as unknown as LoadedModel, sequenceClassification(model), pairs);
    const decoder = await as("tasks/llama-sequence", "sequence-classification");
    await both(decoder as unknown as LoadedModel, sequenceClassification(decoder), labelled);
  });

  test("classes of words", async () => {
    const model = await as("tasks/bert-token", "token-classification");
    await both(model as unknown as LoadedModel, tokenClassification(model), tagged);
  });

  test("masked words", async () => {
    const model = await as("tasks/bert-masked", "masked-lm");
    await both(model as unknown as LoadedModel, maskedLanguageModelling(model), short);
  });

  test("pairs and images are refused", async () => {
    const encoder = await as("tasks/bert-embedding", "sentence-embedding");
    const pairs = [{ first: [6, 7], second: [8, 9] }];
    const refused = /packing: the items of this objective cannot share a row/;
    const options = { ...OPTIONS, packing: true };
    await expect(
      run(encoder as unknown as LoadedModel, contrastive(encoder), pairs, options),
    ).rejects.toThrow(refused);
    const vit = await as("tasks/vit", "image-classification");
    const images = [{ pixels: () => new Float32Array(), label: 0 }];
    const objective = imageClassification(vit);
    await expect(run(vit as unknown as LoadedModel, objective, images, options)).rejects.toThrow(refused);
    const grouped = run(vit as unknown as LoadedModel, objective, images, { groupByLength: true });
    await expect(grouped).rejects.toThrow(/groupByLength: the items of this objective have no lengths/);
  });
});

test("steps and epochs are those of the packs, which are drawn in another order in each epoch", async () => {
  const { model, objective } = await decoder("llama-gqa");
  const options = { packing: "bfd", maxLength: MAX_LENGTH, batchSize: 1, epochs: 3 } as const;
  const { metrics } = await run(model, objective, ROWS, options);
  expect(metrics.map(({ epoch }) => epoch)).toEqual([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
  expect(metrics.every(({ totalSteps }) => totalSteps === 12)).toBe(true);
  const epochs = [0, 1, 2].map((epoch) =>
    metrics.filter((step) => step.epoch === epoch).map(({ terms }) => terms),
  );
  for (const terms of epochs) expect([...terms].sort()).toEqual([...epochs[0]!].sort());
  expect(new Set(epochs.map(String)).size).toBeGreaterThan(1);
  const again = await run(model, objective, ROWS, options);
  expect(again.metrics.map(({ loss }) => loss)).toEqual(metrics.map(({ loss }) => loss));
});

test("a pack is called by its rows", async () => {
  const { objective } = await decoder("llama-gqa");
  const { packs, nameRow } = packRun(objective, ROWS, {
    packing: true,
    maxLength: 64,
    nameRow: (i) => `line ${i}`,
  });
  expect(packs).toHaveLength(1);
  expect(nameRow(0)).toBe("line 2 + line 0 + line 6 + line 4 + 4 packed with them");
});

test("rows of like lengths are drawn together, and are learnt once each", async () => {
  const { model, objective } = await decoder("llama-gqa");
  const options = { groupByLength: true, batchSize: 2, shuffle: false };
  const { metrics } = await run(model, objective, [...ROWS, ...ROWS], options);
  const half = [16 + 11, 5 + 3, 9 + 7, 4 + 2];
  expect(metrics.map(({ tokens }) => tokens)).toEqual([...half, ...half]);
});

test("what means nothing is refused", async () => {
  const { model, objective } = await decoder("llama-gqa");
  const refuse = (options: TrainerOptions) => expect(run(model, objective, ROWS, options)).rejects;
  await refuse({ packing: true }).toThrow(/maxLength is missing/);
  await refuse({ packing: true, maxLength: 32, groupByLength: true }).toThrow(
    /groupByLength: packed sequences/,
  );
  await refuse({ packing: true, maxLength: 10 }).toThrow(
    /row 1 has 11 tokens, and maxLength is 10[\s\S]*row 3 has 16/,
  );
  await refuse({ packing: "ffd" as never }).toThrow(
    /packing is "ffd", wanted true or false, or one of bfd, /,
  );
});
