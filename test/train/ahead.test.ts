import { describe, expect, test, vi } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { languageModelling } from "../../src/train/language-modelling.ts";
import { Optimizer } from "../../src/train/optimizer.ts";
import { type StepMetrics, trainObjective } from "../../src/train/trainer.ts";
import type { TrainerOptions } from "../../src/train/trainer-options.ts";
import {
  fixturePath,
  type Golden,
  goldenSequences,
  openTestModel,
  readJsonFile,
} from "../support/fixtures.ts";

const folder = fixturePath("llama-gqa");
const sequences = goldenSequences(readJsonFile<Golden>(folder, "golden.json"));
const never = () => false;

/** Trains a fresh adapter; a batch that begins with token `poison` has a loss of NaN. */
async function run(options: TrainerOptions, { poison = -1, onStep = () => {} } = {}) {
  const model = await openTestModel(folder);
  const settings = { r: 2, alpha: 4, dropout: 0.1, targetModules: ["q_proj", "down_proj"] };
  const adapter = attach(model, lora(settings), { seed: 3 });
  const { loss, ...others } = languageModelling(model);
  const poisoned = languageModelling({
    ...model,
    headOptions: { ...model.headOptions, logitScale: Number.NaN },
  });
  const objective: ReturnType<typeof languageModelling> = {
    ...others,
    loss: (batch, context) => (batch.inputIds[0] === poison ? poisoned.loss : loss)(batch, context),
  };
  const { flat } = adapter.parameters;
  const metrics: Omit<StepMetrics, "seconds" | "peakBytes">[] = [];
  const states: Float32Array[] = [];
  const defaults = { batchSize: 1, learningRate: 1e-2, shuffle: false, maxSteps: 9 };
  for await (const step of trainObjective(objective, adapter.parameters, sequences, {
    ...defaults,
    ...options,
  })) {
    const { seconds, peakBytes, ...rest } = step;
    expect(Math.min(seconds, peakBytes)).toBeGreaterThan(0);
    metrics.push(rest);
    onStep();
    if (options.settleAfter?.(step.step) ?? true) states[step.step] = await flat.read();
  }
  const last = await flat.read();
  adapter.release();
  model.release();
  return { metrics, states, last };
}

describe("a run that records the next step while the device computes one", () => {
  test.each<[string, TrainerOptions]>([
    ["plain", {}],
    ["accumulating", { gradientAccumulationSteps: 2, maxSteps: 5 }],
  ])("comes to the same bytes as one that waits, %s", async (_, options) => {
    const [waits, goesOn] = [await run(options), await run({ ...options, settleAfter: never })];
    expect(goesOn.metrics).toEqual(waits.metrics);
    expect(goesOn.last).toEqual(waits.last);
  });

  test("where a step is skipped, too: those recorded behind it are done again", async () => {
    const poison = sequences[1]?.inputIds[0] as number;
    const waits = await run({}, { poison });
    const goesOn = await run({ settleAfter: never }, { poison });
    expect(waits.metrics.flatMap(({ skipped, step }) => (skipped ? [step] : []))).toEqual([2, 5, 8]);
    expect(waits.metrics[1]?.fault).toMatch(/^in row 2 the outputs of all layers are finite, and the loss/);
    expect(goesOn.metrics).toEqual(waits.metrics);
    expect(goesOn.last).toEqual(waits.last);
  });

  test("has the parameters of a step at hand where it is told to", async () => {
    const settleAfter = (step: number) => step % 4 === 0;
    const [waits, goesOn] = [await run({}), await run({ settleAfter })];
    expect(Object.keys(goesOn.states)).toEqual(["4", "8"]);
    for (const step of [4, 8]) expect(goesOn.states[step]).toEqual(waits.states[step]);
  });

  test("has recorded the second step when the first one's metrics come", async () => {
    const steps = vi.spyOn(Optimizer.prototype, "step");
    const recorded: number[] = [];
    const onStep = () => recorded.push(steps.mock.calls.length);
    await run({ settleAfter: never, maxSteps: 4 }, { onStep });
    expect(recorded).toEqual([2, 3, 4, 4]);
    steps.mockRestore();
  });
});

test.each([{}, { settleAfter: never }])(
  "a run that is aborted ends after what is under way, %j",
  async (options) => {
    const controller = new AbortController();
    const ended = run({
      ...options,
      signal: controller.signal,
      settleAfter: (step) => {
        if (step === 3) controller.abort();
        return options.settleAfter?.() ?? true;
      },
    });
    const { metrics, last } = await ended;
    expect(metrics.at(-1)?.step).toBeGreaterThanOrEqual(3);
    expect(metrics.length).toBeLessThan(6);
    const { states } = await run({});
    expect(last).toEqual(states[metrics.length]);
  },
);
