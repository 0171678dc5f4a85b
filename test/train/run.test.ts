import { expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import type { RunState } from "../../src/io/formats/run-state.ts";
import { Run, type RunPolicy } from "../../src/train/run.ts";
import { trainSequences } from "../../src/train/trainer.ts";
import {
  fixturePath,
  type Golden,
  goldenSequences,
  openTestModel,
  readJsonFile,
} from "../support/fixtures.ts";

const folder = fixturePath("llama-gqa");
const sequences = goldenSequences(readJsonFile<Golden>(folder, "golden.json"));

/** A run of eight steps of a fresh adapter; `after` reads its parameters. */
async function open(policy: RunPolicy, resume?: RunState) {
  const model = await openTestModel(folder);
  const adapter = attach(model, lora({ r: 2, dropout: 0.1, targetModules: ["q_proj"] }), { seed: 3 });
  const options = { maxSteps: 8, batchSize: 1, learningRate: 1e-2, ...(resume && { resume }) };
  const run = new Run(
    (given) => trainSequences(model, adapter.parameters, sequences, { ...options, ...given }),
    policy,
  );
  return { run, after: () => adapter.parameters.flat.read() };
}

test("evaluates, then saves, where they are due, and knows the best", async () => {
  const said: string[] = [];
  const losses = new Map([
    [3, 2],
    [6, 1],
    [8, 3],
  ]);
  const { run } = await open({
    evalSteps: 3,
    saveSteps: 2,
    onStep: ({ step }) => void said.push(`step ${step}`),
    async evaluate(step) {
      said.push(`evaluate ${step}`);
      return { loss: losses.get(step) as number };
    },
    async save({ step }, best) {
      said.push(`save ${step}, best ${best?.step}`);
    },
  });
  await run.start();
  expect(said.filter((line) => !line.startsWith("step"))).toEqual([
    "save 2, best undefined",
    "evaluate 3",
    "save 4, best 3",
    "evaluate 6",
    "save 6, best 6",
    "evaluate 8",
    "save 8, best 6",
  ]);
  expect([run.best, run.last?.step]).toEqual([{ loss: 1, step: 6, misses: 1 }, 8]);
});

test("the clock has it saved, also where steps take no time at all, and so does its end", async () => {
  const steps: number[] = [];
  const save = async ({ step }: RunState) => void steps.push(step);
  await (await open({ saveSeconds: 0, save })).run.start();
  expect(steps).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  await (await open({ saveSeconds: 1000, save })).run.start();
  expect(steps.slice(8)).toEqual([8]);
  const { run } = await open({
    saveSeconds: 1000,
    save,
    onStep: ({ step }) => void (step === 3 && run.stop()),
  });
  await run.start();
  expect(steps.slice(9)).toEqual([run.last?.step]);
});

test("what is saved goes on to the same bytes", async () => {
  const states: RunState[] = [];
  const whole = await open({ saveSteps: 3, save: async (state) => void states.push(state) });
  await whole.run.start();
  expect(states.map(({ step }) => step)).toEqual([3, 6]);
  const resumed = await open({}, states[0]);
  await resumed.run.start();
  expect(await resumed.after()).toEqual(await whole.after());
});

test("a pause holds it and changes nothing; it goes on when told", async () => {
  const whole = await open({});
  await whole.run.start();
  let steps = 0;
  const { run, after } = await open({
    onStep: ({ step }) => {
      steps = step;
      if (step === 2) run.pause();
    },
  });
  const ended = run.start();
  while (steps < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect([run.isPaused, steps]).toEqual([true, 2]);
  run.resume();
  await ended;
  expect([run.isPaused, steps]).toEqual([false, 8]);
  expect(await after()).toEqual(await whole.after());
});

test("one that is held before it begins takes no step until it is told to go on, and none where it is stopped", async () => {
  const { run } = await open({});
  run.pause();
  const ended = run.start();
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(run.last).toBeUndefined();
  run.resume();
  await ended;
  expect(run.last?.step).toBe(8);
  const stopped = await open({});
  stopped.run.pause();
  const over = stopped.run.start();
  stopped.run.stop();
  await over;
  expect(stopped.run.last).toBeUndefined();
});

test("a signal, or stop, ends it after what is under way, also while it is paused", async () => {
  const controller = new AbortController();
  const aborted = await open({ signal: controller.signal, onStep: () => controller.abort() });
  await aborted.run.start();
  expect(aborted.run.last?.step).toBeLessThan(4);
  const paused = await open({
    onStep() {
      paused.run.pause();
      setTimeout(() => paused.run.stop(), 20);
    },
  });
  await paused.run.start();
  expect(paused.run.last?.step).toBeLessThan(4);
});
