import { describe, expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { evaluate } from "../../src/train/evaluate.ts";
import { type StepMetrics, trainSequences } from "../../src/train/trainer.ts";
import type { TrainerOptions } from "../../src/train/trainer-options.ts";
import {
  fixturePath,
  type Golden,
  goldenSequences,
  openTestModel,
  readJsonFile,
} from "../support/fixtures.ts";

const folder = fixturePath("llama-gqa");
const golden = readJsonFile<Golden>(folder, "golden.json");
const sequences = goldenSequences(golden);

/** Trains a fresh adapter; returns its metrics and its final values. */
async function run(
  options: TrainerOptions,
  { learningRate = 0.01, poison = false, dropout = 0, rows = sequences } = {},
): Promise<{ metrics: StepMetrics[]; values: Float32Array }> {
  const model = await openTestModel(folder);
  const adapter = attach(model, lora({ r: 2, alpha: 4, dropout, targetModules: ["q_proj", "down_proj"] }), {
    seed: 3,
  });
  const { flat, entries } = adapter.parameters;
  if (poison) entries[0]?.tensor.write(new Float32Array(entries[0].tensor.size).fill(Number.NaN));
  try {
    const metrics: StepMetrics[] = [];
    const settings = { learningRate, shuffle: false, ...options };
    const steps = async () => {
      for await (const step of trainSequences(model, adapter.parameters, rows, settings)) metrics.push(step);
    };
    await (poison ? expect(steps()).rejects.toThrow(/no step had a finite gradient/) : steps());
    return { metrics, values: await flat.read() };
  } finally {
    adapter.release();
    model.release();
  }
}

describe("trainSequences", () => {
  test("one batch of three and three batches of one are the same step, whatever the padding", async () => {
    const whole = await run({ maxSteps: 3, batchSize: 3 });
    const parts = await run({ maxSteps: 3, batchSize: 1, gradientAccumulationSteps: 3 });
    whole.metrics.forEach(({ loss, gradNorm, tokens, terms }, step) => {
      const part = parts.metrics[step];
      expect(part?.loss).toBeCloseTo(loss, 5);
      expect(part?.gradNorm).toBeCloseTo(gradNorm, 4);
      expect([part?.tokens, part?.terms]).toEqual([tokens, terms]);
    });
    whole.values.forEach((value, i) => {
      expect(parts.values[i]).toBeCloseTo(value, 4);
    });
  });

  test("the first token's label does not count: nothing predicts it", async () => {
    const whole = sequences.map(({ inputIds }) => ({ inputIds, labels: inputIds }));
    const rest = whole.map(({ inputIds }) => ({ inputIds, labels: [-100, ...inputIds.slice(1)] }));
    const first = async (rows: typeof whole) => (await run({ maxSteps: 1 }, { rows })).metrics[0]!;
    const [a, b] = [await first(whole), await first(rest)];
    expect([a.loss, a.gradNorm, a.terms]).toEqual([b.loss, b.gradNorm, b.terms]);
  });

  test("epochs decide the number of steps where maxSteps does not", async () => {
    const { metrics } = await run({ epochs: 2, batchSize: 2 });
    expect(metrics.map(({ step, totalSteps, epoch }) => [step, totalSteps, epoch])).toEqual([
      [1, 4, 0],
      [2, 4, 0],
      [3, 4, 1],
      [4, 4, 1],
    ]);
    const terms = metrics.map((step) => step.terms);
    expect(metrics.map((step) => step.trainedTerms)).toEqual(
      terms.map((_, i) => terms.slice(0, i + 1).reduce((a, b) => a + b, 0)),
    );
  });

  test("the last step of an epoch takes what is left, so that 2×1 and 1×2 are the same run", async () => {
    const whole = await run({ epochs: 2, batchSize: 2 });
    const parts = await run({ epochs: 2, batchSize: 1, gradientAccumulationSteps: 2 });
    const view = ({ metrics }: typeof whole) =>
      metrics.map(({ totalSteps, epoch, tokens, learningRate }) => [totalSteps, epoch, tokens, learningRate]);
    expect(view(parts)).toEqual(view(whole));
    expect(parts.values).toBeClose(whole.values, 1e-4);
    const { metrics } = await run({ epochs: 2, batchSize: 4, gradientAccumulationSteps: 8 });
    const all = sequences.reduce((sum, { inputIds }) => sum + inputIds.length, 0);
    expect(metrics.map(({ tokens }) => tokens)).toEqual([all, all]);
  });

  test("dropout is another in every step", async () => {
    const norms = async (dropout: number) => {
      // Steps so small that only dropout can make the second differ.
      const { metrics } = await run({ maxSteps: 2, batchSize: 3 }, { learningRate: 1e-20, dropout });
      return metrics.map(({ gradNorm }) => gradNorm);
    };
    const [first, second] = await norms(0.5);
    expect(Math.abs(first! / second! - 1)).toBeGreaterThan(1e-3);
    const [third, fourth] = await norms(0);
    expect(third).toBe(fourth);
  });

  test("dropout is another in every micro-batch", async () => {
    const [row] = sequences;
    const norm = async (copies: number) => {
      const options = { maxSteps: 1, batchSize: 1, gradientAccumulationSteps: copies };
      const rows = new Array(copies).fill(row);
      return (await run(options, { rows, dropout: 0.5 })).metrics[0]!.gradNorm;
    };
    // The mean over two equal rows is that of one, if they drop the same.
    expect(Math.abs((await norm(2)) / (await norm(1)) - 1)).toBeGreaterThan(1e-3);
  });

  test("a gradient that is not finite changes nothing and is told", async () => {
    const { metrics, values } = await run({ maxSteps: 2, batchSize: 3 }, { poison: true });
    expect(metrics.map(({ skipped }) => skipped)).toEqual([true, true]);
    const poisoned = [...values].map(Number.isNaN);
    expect(poisoned.lastIndexOf(true)).toBe(poisoned.filter(Boolean).length - 1); // only what was poisoned, the first tensor
    expect(poisoned).toContain(false);
  });

  test("refuses a step without a label", async () => {
    const rows = [{ inputIds: [1, 2], labels: [1, -100] }];
    await expect(run({}, { rows })).rejects.toThrow(/step 1 has no label[\s\S]*leave out rows/);
  });

  test("refuses nonsense, all of it at once", async () => {
    const bad = { maxSteps: 0, batchSize: 0, gradientAccumulationSteps: 1.5 };
    const error: Error = await run(bad, { learningRate: -1 }).then(
      () => expect.fail(),
      (reason) => reason,
    );
    for (const problem of ["4 problems", "maxSteps is 0", "batchSize is 0", "Steps is 1.5", "Rate is -1"]) {
      expect(error.message).toContain(problem);
    }
  });
});

test("evaluate gives the loss over all label tokens, whatever the batches", async () => {
  const model = await openTestModel(folder);
  try {
    for (const batchSize of [1, 2, 3]) {
      const { loss, perplexity, tokens } = await evaluate(model, sequences, { batchSize });
      expect(loss).toBeCloseTo(golden.base_loss, 5);
      expect(perplexity).toBeCloseTo(Math.exp(golden.base_loss), 3);
      expect(tokens).toBe(golden.label_tokens);
    }
  } finally {
    model.release();
  }
});

describe("the loss while training", () => {
  const losses = async (options: TrainerOptions) =>
    (await run({ maxSteps: 10, batchSize: 3, ...options })).metrics.map(({ loss }) => loss);

  test("label smoothing and z-loss change it and what is learnt; without them it is the plain one", async () => {
    const plain = await losses({});
    expect(await losses({ labelSmoothing: 0, zLoss: 0 })).toEqual(plain);
    for (const options of [{ labelSmoothing: 0.1 }, { zLoss: 1e-2 }]) {
      const shaped = await losses(options);
      expect(shaped.every((loss, step) => loss !== plain[step])).toBe(true);
      expect(shaped.at(-1)).toBeLessThan(shaped[0]!);
    }
  });
});
