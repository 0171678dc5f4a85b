import { describe, expect, test } from "vitest";
import { type Adapter, attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { one, type Tape } from "../../src/autograd/tape.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { scale, scaleBy } from "../../src/kernels/elementwise.ts";
import { requireTask } from "../../src/models/model.ts";
import { imageClassification, type LabelledImage } from "../../src/train/classification.ts";
import { meanLoss } from "../../src/train/evaluate.ts";
import { evaluateClassifier } from "../../src/train/evaluate-classifier.ts";
import { evaluate as evaluateTexts } from "../../src/train/evaluate-rows.ts";
import { languageModelling } from "../../src/train/language-modelling.ts";
import type { Counted, Objective } from "../../src/train/objective.ts";
import { train } from "../../src/train/text.ts";
import { type StepMetrics, trainObjective } from "../../src/train/trainer.ts";
import type { TrainerOptions } from "../../src/train/trainer-options.ts";
import { BUNDLED_MODEL, fixturePath, openTestModel } from "../support/fixtures.ts";
import { openTestTask } from "../support/task-fixtures.ts";

interface Ended {
  metrics: StepMetrics[];
  error: Error | undefined;
}

/** Trains in the order of the items, one at a time unless told otherwise, to the end or to an error. */
async function run<Item, B extends Counted>(
  objective: Objective<Item, B>,
  { parameters }: Adapter,
  items: readonly Item[],
  options: TrainerOptions = {},
): Promise<Ended> {
  const metrics: StepMetrics[] = [];
  const settings = { batchSize: 1, shuffle: false, ...options };
  try {
    for await (const step of trainObjective(objective, parameters, items, settings)) metrics.push(step);
    return { metrics, error: undefined };
  } catch (error) {
    return { metrics, error: error as Error };
  }
}

const row = { inputIds: [5, 6, 7], labels: [-100, 6, 7] };
const targetModules = ["q_proj", "down_proj"];

/** A language model with an adapter, of which one value of one tensor may be NaN. */
async function open({ spoilt, dropout = 0 }: { spoilt?: string; dropout?: number } = {}) {
  const model = await openTestModel(fixturePath("llama-gqa"));
  const adapter = attach(model, lora({ r: 2, dropout, targetModules }), { seed: 3 });
  const entry = adapter.parameters.entries.find(({ name }) => name === spoilt);
  if (entry) {
    const values = await entry.tensor.read();
    values[0] = Number.NaN;
    entry.tensor.write(values);
  }
  const release = () => {
    adapter.release();
    model.release();
  };
  return { model, adapter, objective: languageModelling(model), release };
}

/** The same loss with a gradient that no number holds. */
function explode(loss: Tensor, tape: Tape | undefined): Tensor {
  const same = scaleBy(loss, one(loss.device));
  return (
    tape?.record(same, [loss], [], (dy, add) => {
      add(loss, (into) => scale(scale(dy, 1e30), 1e30, into));
    }) ?? same
  );
}

describe("a step without a finite gradient names its rows and", () => {
  test.each([
    ["model.layers.1.self_attn.q_proj", 0],
    ["model.layers.1.mlp.down_proj", 0.5],
  ])("the first layer whose output is none: %s, with dropout %d", async (path, dropout) => {
    const { adapter, objective, release } = await open({ spoilt: `${path}.lora_A`, dropout });
    const { stats } = objective.device.memory;
    const { metrics, error } = await run(objective, adapter, [row, row, row], { batchSize: 2 });
    const { used } = stats;
    await run(objective, adapter, [row, row, row], { batchSize: 2 });
    expect(stats.used).toBe(used); // the tables of the rotary embedding are there since the first run
    expect(metrics.map(({ skipped }) => skipped)).toEqual([true, true]);
    expect(metrics.map(({ fault }) => fault)).toEqual([
      `in row 1, row 2 the first output that is NaN or infinite is that of ${path}`,
      `in row 3 the first output that is NaN or infinite is that of ${path}`,
    ]);
    expect(error?.message).toMatch(
      /^train: no step had a finite gradient: nothing was learnt; in row 3 .*q_proj|down_proj/,
    );
    expect(error?.message).toContain("lower learning rate");
    release();
  });

  test("the first gradient, where the forward pass is finite", async () => {
    const { adapter, objective, release } = await open();
    const exploding: typeof objective = {
      ...objective,
      loss: (batch, context) => explode(objective.loss(batch, context), context.tape),
    };
    const { metrics } = await run(exploding, adapter, [row], { maxSteps: 1 });
    expect(metrics[0]?.fault).toBe(
      "in row 1 the forward pass is finite, and the first gradient that is NaN or infinite is that of model.layers.1.mlp.down_proj.lora_B",
    );
    release();
  });

  test("the loss, where all layers are finite", async () => {
    const { model, adapter, objective, release } = await open();
    const head = model.headOptions ?? {};
    const infinite = languageModelling({
      ...model,
      headOptions: { ...head, logitScale: Number.POSITIVE_INFINITY },
    });
    const { metrics } = await run({ ...objective, loss: infinite.loss }, adapter, [row], { maxSteps: 1 });
    expect(metrics[0]?.fault).toBe("in row 1 the outputs of all layers are finite, and the loss is not");
    release();
  });

  test("what their caller calls them", async () => {
    const { adapter, objective, release } = await open({ spoilt: "model.layers.0.self_attn.q_proj.lora_A" });
    const options = { batchSize: 12, nameRow: (index: number) => `rows.jsonl:${2 * index + 1}` };
    const { metrics } = await run(objective, adapter, new Array(12).fill(row), options);
    expect(metrics[0]?.fault).toMatch(
      /^in rows\.jsonl:1, rows\.jsonl:3, .*, rows\.jsonl:15 and 4 more the first/,
    );
    release();
  });
});

describe("a training that diverges", () => {
  // Each step multiplies the values by −10⁶, so that after some no number holds them.
  const options = { learningRate: 1000, weightDecay: 1000, schedule: "constant" } as const;

  test.each([
    ["at its end", 12],
    ["after ten skipped steps", 40],
  ])("is no success: %s", async (_, maxSteps) => {
    const { adapter, objective, release } = await open();
    const { metrics, error } = await run(objective, adapter, [row], { ...options, maxSteps });
    expect(metrics[0]?.skipped).toBe(false);
    expect(metrics.at(-1)?.skipped).toBe(true);
    expect(metrics.length).toBeLessThan(30);
    expect(error).toMatchObject({ kind: "diverged" });
    expect(error?.message).toMatch(
      /has diverged: even in rows that were learnt the first output that .* lower learning rate/s,
    );
    release();
  });
});

describe("images of which some are no numbers", () => {
  const images = (pattern: string, size: number): LabelledImage[] =>
    Array.from(pattern, (letter) => ({
      label: 0,
      pixels: () => new Float32Array(size).fill(letter === "x" ? Number.NaN : 0.5),
    }));

  async function train(pattern: string): Promise<Ended> {
    const model = requireTask(await openTestTask(fixturePath("tasks/vit")), "image-classification");
    const adapter = attach(model, lora({ r: 2, targetModules: ["q_proj"] }));
    const { channels, height, width } = model.image;
    const items = images(pattern, channels * height * width);
    const ended = await run(imageClassification(model), adapter, items);
    adapter.release();
    model.release();
    return ended;
  }

  test("are refused where they are evaluated, by their rows", async () => {
    const model = requireTask(await openTestTask(fixturePath("tasks/vit")), "image-classification");
    const { channels, height, width } = model.image;
    const items = images("...x.", channels * height * width);
    const message =
      /evaluate: the loss is NaN: in row 3, row 4 the first output that is NaN or infinite is that of vit\./;
    const objective = imageClassification(model);
    await expect(evaluateClassifier(objective, items, { batchSize: 2 })).rejects.toThrow(message);
    await expect(meanLoss(objective, items, { batchSize: 2 })).rejects.toThrow(message);
    const nameRow = (place: number) => `${place}.png`;
    await expect(meanLoss(objective, items, { batchSize: 1, nameRow })).rejects.toThrow("in 3.png the first");
    model.release();
  });

  test("are skipped one by one, and the others learnt", async () => {
    const { metrics, error } = await train(".x.");
    expect(error).toBeUndefined();
    expect(metrics.map(({ skipped }) => skipped)).toEqual([false, true, false]);
    expect(metrics[1]?.fault).toMatch(/^in row 2 the first output that is NaN or infinite is that of vit\./);
    expect(metrics[0]).not.toHaveProperty("fault");
  });

  test("end the run after ten in a row, whatever was learnt before; fewer do not", async () => {
    const { metrics, error } = await train(`.${"x".repeat(12)}`);
    expect(metrics).toHaveLength(11);
    expect(error?.message).toMatch(
      /^train: 10 steps in a row had no finite gradient: the run ends here; in row 11 /,
    );
    const broken = await train(`${"x".repeat(9)}.${"x".repeat(9)}`);
    expect([broken.metrics.length, broken.error]).toEqual([19, undefined]);
  });
});

test("texts are named by the rows that were given, of which some were left out", async () => {
  const model = await openTestModel(BUNDLED_MODEL);
  const adapter = attach(model, lora({ r: 2, targetModules: ["q_proj"] }));
  const entry = adapter.parameters.entries[0];
  entry?.tensor.write(new Float32Array(entry.tensor.size).fill(Number.NaN));
  const texts = [{ text: "" }, { text: "The fox" }, { text: "" }, { text: "the sun" }];
  await expect(evaluateTexts(model, texts)).rejects.toThrow(
    /in row 2, row 4 the first output .* model\.layers\.0/,
  );
  const step = await train(model, adapter, texts, { maxSteps: 2, shuffle: false }).next();
  expect((step.value as StepMetrics).fault).toMatch(/^in row 2, row 4 the first/);
  adapter.release();
  model.release();
});
