import { expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { firstRows, listSource } from "../../src/data/feed/item-source.ts";
import { loadModel } from "../../src/index.node.ts";
import type { RunState } from "../../src/io/formats/run-state.ts";
import { type BestEvaluation, type BestPolicy, BestSoFar } from "../../src/train/best.ts";
import { completionOf, exactMatch, writeSamples } from "../../src/train/completions.ts";
import { generateTokens } from "../../src/train/generate.ts";
import { Run, type RunPolicy } from "../../src/train/run.ts";
import { trainSequences } from "../../src/train/trainer.ts";
import { testDevice } from "../support/device.ts";
import {
  BUNDLED_MODEL,
  fixturePath,
  type Golden,
  goldenSequences,
  openTestModel,
  readJsonFile,
} from "../support/fixtures.ts";

/** After which evaluations of these the run ends, and the best one; metrics are numbered from 1. */
function watch(values: readonly number[], options: BestPolicy = {}) {
  const best = new BestSoFar(options);
  const metric = options.metricForBestModel ?? "loss";
  const over = values.findIndex((value, i) => {
    best.add({ loss: 1, ...(metric === "loss" ? { loss: value } : { metrics: { [metric]: value } }) }, i + 1);
    return best.isOver;
  });
  return { over: over + 1, best: best.best?.step, misses: best.best?.misses ?? 0 };
}

test("patience is that of transformers' EarlyStoppingCallback", () => {
  expect(watch([3, 2, 4, 1, 1])).toEqual({ over: 0, best: 4, misses: 1 });
  expect(watch([3, 2, 4, 1, 1, 2], { earlyStoppingPatience: 2 })).toEqual({ over: 6, best: 4, misses: 2 });
  // Better, but not by the threshold: the best all the same, and a miss.
  const options = { earlyStoppingPatience: 2, earlyStoppingThreshold: 0.5 };
  expect(watch([3, 2.9, 2.8, 1], options)).toEqual({ over: 3, best: 3, misses: 2 });
});

test("more is better of all but losses and perplexity, unless it is said", () => {
  expect(watch([0.1, 0.5, 0.4], { metricForBestModel: "accuracy" }).best).toBe(2);
  expect(watch([5, 3, 4], { metricForBestModel: "perplexity" }).best).toBe(2);
  expect(watch([0.1, 0.5, 0.4], { metricForBestModel: "accuracy", greaterIsBetter: false }).best).toBe(1);
});

test("a metric that the task lacks is refused with those that it has; one by another metric does not count", () => {
  const best = new BestSoFar({ metricForBestModel: "f1" }, { loss: 1, step: 3 });
  expect(best.best).toBeUndefined();
  const add = () => best.add({ loss: 1, metrics: { accuracy: 0.5, perplexity: 3 } }, 4);
  expect(add).toThrow(/f1 is not measured here[\s\S]*measures accuracy, loss, perplexity/);
});

const folder = fixturePath("llama-gqa");
const sequences = goldenSequences(readJsonFile<Golden>(folder, "golden.json"));

/** A run of up to eight steps with these losses of its evaluations. */
async function run(losses: readonly number[], policy: RunPolicy, resume?: RunState) {
  const model = await openTestModel(folder);
  const adapter = attach(model, lora({ r: 2, targetModules: ["q_proj"] }), { seed: 3 });
  const options = { maxSteps: 8, batchSize: 1, learningRate: 1e-2, ...(resume && { resume }) };
  const states = new Map<number, RunState>();
  const bests: (BestEvaluation | undefined)[] = [];
  const run = new Run(
    (given) => trainSequences(model, adapter.parameters, sequences, { ...options, ...given }),
    {
      evalSteps: 1,
      evaluate: async (step) => ({ loss: losses[step - 1] as number }),
      async save(state, best) {
        states.set(state.step, state);
        bests.push(best);
      },
      ...policy,
    },
  );
  await run.start();
  return { run, states, bests, last: new Uint8Array((await adapter.parameters.flat.read()).buffer) };
}

test("a run ends that gets no better, with the parameters of its best evaluation", async () => {
  const states = new Map<number, RunState>();
  const {
    run: ended,
    last,
    ...kept
  } = await run([5, 4, 3, 4, 4, 1, 1, 1], {
    earlyStoppingPatience: 2,
    async save(state) {
      states.set(state.step, state);
    },
    loadBest: async ({ step }) => states.get(step),
  });
  expect([ended.stoppedEarly, ended.last?.step, ended.best?.step]).toEqual([true, 5, 3]);
  expect([...states.keys()]).toEqual([1, 2, 3]); // each that was the best
  expect(last).toEqual(states.get(3)?.tensors.get("parameters")?.data);
  expect(kept.states.size).toBe(0);
});

test("one that goes on keeps its best and its patience", async () => {
  const losses = [5, 4, 3, 4, 4, 1, 1, 1];
  const first = await run(losses, { saveSteps: 4 });
  const [best] = first.bests;
  expect(best).toEqual({ loss: 3, step: 3, misses: 1 });
  const options = { earlyStoppingPatience: 2, best };
  const { run: resumed } = await run(losses, options, first.states.get(4));
  expect([resumed.stoppedEarly, resumed.last?.step]).toEqual([true, 5]);
  const { run: over } = await run(losses, { ...options, best: { ...best!, misses: 2 } }, first.states.get(4));
  expect([over.stoppedEarly, over.last]).toEqual([true, undefined]);
});

test("completions are those of the last part that is learnt, and right to the letter or not", async () => {
  const model = await loadModel(BUNDLED_MODEL, { device: await testDevice() });
  const prompt = model.tokenizer!.encode("Tom put 3 pink");
  const written: number[] = [];
  for await (const id of generateTokens(model, prompt, { maxNewTokens: 4 })) written.push(id);
  const row = (completion: readonly number[]) => ({
    inputIds: [...prompt, ...completion],
    labels: [...prompt.map(() => -100), ...completion],
  });
  const [end] = model.tokenizer!.stopTokenIds;
  const right = row(written);
  const other = row([written[0] as number, prompt[0] as number, end as number]);
  expect(completionOf(other, model)).toEqual({
    prompt: { ids: prompt, endings: [end] },
    wanted: other.inputIds.slice(prompt.length),
  });
  const plain = { inputIds: prompt, labels: [-100, ...prompt.slice(1)] };
  expect(completionOf(plain, model)).toBeUndefined();
  expect(await exactMatch(model, [other, plain], { batchSize: 2 })).toBe(0);
  await expect(exactMatch(model, [plain], { batchSize: 2 })).rejects.toThrow(
    /no row has a prompt[\s\S]*chats/,
  );
  // Rows that are read as they are needed, some at a time.
  const whole: number[] = [];
  for await (const id of generateTokens(model, prompt, { maxNewTokens: 64 })) whole.push(id);
  const ended = row(whole.slice(0, whole.indexOf(end as number) + 1));
  const many = Array.from({ length: 70 }, (_, i) => (i === 1 || i === 69 ? ended : i === 68 ? other : plain));
  const source = listSource(many, { lengths: [70] }, (place) => `row ${place}`);
  expect(await exactMatch(model, source)).toBe(2 / 3);
  expect(await exactMatch(model, firstRows(source, 3))).toBe(1);
  const wanted = { prompts: ["Ben found"], rows: 1, maxNewTokens: 4, batchSize: 2 };
  expect(await writeSamples(model, source, wanted)).toEqual(await writeSamples(model, many, wanted));
  const samples = await writeSamples(model, [plain, right], wanted);
  expect(samples.map(({ prompt }) => prompt)).toEqual(["Ben found", "Tom put 3 pink"]);
  expect(samples[1]?.text).toBe(model.tokenizer!.decode(written));
});
