import { describe, expect, test } from "vitest";
import { fromArray, scoped } from "../../src/gpu/tensor.ts";
import type { LanguageModel } from "../../src/models/model.ts";
import { Decoding } from "../../src/train/decoding.ts";
import { sampleToken } from "../../src/train/draw.ts";
import { generateTokens, openText, type TokenOptions } from "../../src/train/generate.ts";
import type { SamplingOptions } from "../../src/train/sample.ts";
import { TextCache } from "../../src/train/text-cache.ts";
import { createRandom } from "../../src/util/random.ts";
import { fixturePath, openTestModel } from "../support/fixtures.ts";

const folder = fixturePath("llama-gqa");
const prompt = [5, 17, 3];

async function tokens(model: LanguageModel, options: TokenOptions): Promise<number[]> {
  const result: number[] = [];
  for await (const id of generateTokens(model, prompt, options)) result.push(id);
  return result;
}

/** One token after the other: the host reads all scores, and samples. */
async function byHost(model: LanguageModel, count: number, options: SamplingOptions, seed: number) {
  const [cache, random, ids] = [new TextCache(model), createRandom(seed), [...prompt]];
  cache.begin(ids, 128);
  for (let n = 0; n < count; n++) {
    const scores = scoped(model.device, () => cache.scores([ids]));
    ids.push(sampleToken(await scores.read(), options, ids, random));
    model.device.memory.release(scores.storage);
  }
  cache.release();
  return ids.slice(prompt.length);
}

describe("tokens that the device chooses are those that the host would", () => {
  test.each<SamplingOptions>([
    {},
    { repetitionPenalty: 1.5 },
    { temperature: 1 },
    { temperature: 2, topK: 7 },
    { temperature: 1.5, topP: 0.8, repetitionPenalty: 1.2 },
    { temperature: 0.9, topK: 40, topP: 0.95, minP: 0.05, repetitionPenalty: 1.1 },
  ])("%o", async (options) => {
    const model = await openTestModel(folder);
    const wanted = await byHost(model, 40, options, 11);
    expect(await tokens(model, { ...options, maxNewTokens: 40, seed: 11 })).toEqual(wanted);
    model.release();
  });
});

test("the next step is under way when a token arrives, one step for each token and none behind the last", async () => {
  const model = await openTestModel(folder);
  const { stream, memory } = model.device;
  const released = memory.onRelease;
  memory.onRelease = undefined; // filling freed buffers with NaN is not the step's work
  await tokens(model, { maxNewTokens: 6 }); // tables and pipelines
  const counts: number[] = [stream.dispatches];
  for await (const _ of generateTokens(model, prompt, { maxNewTokens: 6 })) counts.push(stream.dispatches);
  const steps = counts.slice(1).map((count, i) => count - (counts[i] as number));
  const [first = 0, second = 0] = steps;
  expect(first).toBeGreaterThan(second); // the prompt's and the next one's
  expect(steps.slice(1)).toEqual([second, second, second, second, 0]);
  memory.onRelease = released;
  model.release();
});

test("scores that are no numbers end the text at their token, not at the one before", async () => {
  const model = await openTestModel(folder);
  const { vocabSize } = model.config;
  let calls = 0;
  const broken: LanguageModel = {
    ...model,
    logits(hidden, context) {
      const sick = new Float32Array(vocabSize).fill(Number.NaN);
      return ++calls === 3 ? fromArray(model.device, sick, [1, vocabSize]) : model.logits(hidden, context);
    },
  };
  const before = model.device.memory.stats.used;
  const text = generateTokens(broken, prompt, { maxNewTokens: 9 });
  expect((await text.next()).done).toBe(false);
  expect((await text.next()).done).toBe(false);
  await expect(text.next()).rejects.toThrow("NaN or infinite");
  expect(model.device.memory.stats.used).toBeLessThanOrEqual(before + 4096); // tables of the rotary embedding
  model.release();
});

test("what was computed behind a text's end is dropped, and the others go on", async () => {
  const model = await openTestModel(folder);
  const options = { maxNewTokens: 12, temperature: 1.5 };
  const alone = await Promise.all([1, 2, 3].map((seed) => tokens(model, { ...options, seed })));
  const eosTokenIds = [alone[1]?.[2] as number]; // ends the second text early
  const wanted = await Promise.all([1, 2, 3].map((seed) => tokens(model, { ...options, eosTokenIds, seed })));
  let texts = [1, 2, 3].map((seed) => openText(model, prompt, { ...options, eosTokenIds, seed }));
  const all = texts;
  const cache = new TextCache(model);
  const decoding = new Decoding(cache);
  cache.open(3, 32);
  while (texts.length > 0) {
    const got = await decoding.next(model, texts);
    const going = texts.flatMap((text, i) =>
      text.isLast(got[i] as number) || text.ids.length >= text.end ? [] : [i],
    );
    if (going.length < texts.length) decoding.keep(going);
    texts = going.map((i) => texts[i] as (typeof texts)[number]);
  }
  expect(all.map(({ ids }) => ids.slice(prompt.length))).toEqual(wanted);
  decoding.release();
  cache.release();
  model.release();
});
