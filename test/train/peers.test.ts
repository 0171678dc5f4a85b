import { describe, expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { languageModelling } from "../../src/train/language-modelling.ts";
import type { Peers } from "../../src/train/peers.ts";
import { type StepMetrics, trainObjective, trainSequences } from "../../src/train/trainer.ts";
import type { TrainerOptions } from "../../src/train/trainer-options.ts";
import {
  fixturePath,
  type Golden,
  goldenSequences,
  openTestModel,
  readJsonFile,
} from "../support/fixtures.ts";
import { localPeers } from "../support/local-peers.ts";

const folder = fixturePath("llama-gqa");
const golden = goldenSequences(readJsonFile<Golden>(folder, "golden.json"));
/** Five rows: the second batch of four has one, and leaves other ranks without. */
const rows = [
  ...golden,
  ...golden.map(({ inputIds, labels }) => ({ inputIds: inputIds.slice(2), labels: labels.slice(2) })),
].slice(0, 5);

const OPTIONS = { learningRate: 1e-2, maxSteps: 4, seed: 5 };

interface Outcome {
  readonly metrics: readonly StepMetrics[];
  readonly values: Float32Array;
}

/** Trains a fresh adapter as one of several processes, or alone. */
async function run(
  options: TrainerOptions,
  peers?: Peers,
  { seed = 3, onStep = (_: number) => {} } = {},
): Promise<Outcome> {
  const model = await openTestModel(folder);
  const adapter = attach(model, lora({ r: 2, targetModules: ["q_proj", "down_proj"] }), { seed });
  const metrics: StepMetrics[] = [];
  const given = { ...OPTIONS, ...options, ...(peers && { peers }) };
  try {
    for await (const metric of trainSequences(model, adapter.parameters, rows, given)) {
      metrics.push(metric);
      onStep(metric.step);
    }
    return { metrics, values: await adapter.parameters.flat.read() };
  } finally {
    adapter.release();
    model.release();
  }
}

const together = (size: number, options: TrainerOptions) =>
  Promise.all(localPeers(size).map((peers) => run(options, peers, { seed: 3 + peers.rank })));

function expectSame(parts: readonly Outcome[], whole: Outcome) {
  for (const { metrics, values } of parts) {
    expect(values).toEqual(parts[0]?.values);
    expect(metrics.length).toBe(whole.metrics.length);
    metrics.forEach((step, i) => {
      const alone = whole.metrics[i] as StepMetrics;
      expect(Math.abs(step.loss - alone.loss)).toBeLessThan(1e-5);
      expect([step.terms, step.tokens]).toEqual([alone.terms, alone.tokens]);
    });
    const difference = values.map((value, i) => value - (whole.values[i] as number));
    expect(Math.hypot(...difference) / Math.hypot(...whole.values)).toBeLessThan(1e-5);
  }
}

describe("several processes that train together", () => {
  test("two of batch 2 are one of batch 4, also where the last batch leaves one of them nothing", async () => {
    expectSame(await together(2, { batchSize: 2 }), await run({ batchSize: 4 }));
  });

  test("three with accumulation are one", async () => {
    const options = { gradientAccumulationSteps: 2, optimizer: "adamw_8bit" } as const;
    expectSame(await together(3, { ...options, batchSize: 1 }), await run({ ...options, batchSize: 3 }));
  });
});

describe("what one of them meets", () => {
  test("one that wants to stop ends all, before the same step", async () => {
    const outcomes = await Promise.all(
      localPeers(2).map((peers) => {
        const stop = new AbortController();
        const onStep = (step: number) => {
          if (peers.rank === 1 && step === 2) stop.abort();
        };
        return run({ batchSize: 2, signal: stop.signal }, peers, { onStep });
      }),
    );
    expect(outcomes.map(({ metrics }) => metrics.length)).toEqual([2, 2]);
    expect(outcomes[1]?.values).toEqual(outcomes[0]?.values);
  });

  test("a gradient that is not finite is skipped by all, and says of which rank it is", async () => {
    const spoilt = localPeers(2).map((peers): Peers => {
      let sums = 0;
      const spoil = (values: Float32Array<ArrayBuffer>) =>
        peers.rank === 1 && sums++ === 1 ? values.fill(Number.NaN) : values; // behind the counts of the first step
      return { ...peers, sum: (values) => peers.sum(spoil(values)) };
    });
    const outcomes = await Promise.all(spoilt.map((peers) => run({ batchSize: 2 }, peers)));
    for (const { metrics } of outcomes) {
      expect(metrics.map(({ skipped }) => skipped)).toEqual([true, false, false, false]);
      expect(metrics[0]?.fault).toMatch(/the gradients of all ranks are finite, and their sum is not/);
    }
  });

  test("items that are compared with each other are not shared out", async () => {
    const model = await openTestModel(folder);
    const adapter = attach(model, lora({ r: 2 }));
    const objective = { ...languageModelling(model), comparesItems: true } as const;
    const [peers] = localPeers(2);
    const steps = trainObjective(objective, adapter.parameters, rows, {
      ...OPTIONS,
      ...(peers && { peers }),
    });
    await expect(steps.next()).rejects.toThrow(/compared with its whole batch\n.*leave peers out/);
    model.release();
  });
});
