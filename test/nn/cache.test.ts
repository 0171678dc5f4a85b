// Texts that are continued together, each from its own end, become what they become alone.
import { describe, expect, test } from "vitest";
import { packRows, type TokenBatch } from "../../src/data/batch.ts";
import { fromArray, scoped } from "../../src/gpu/tensor.ts";
import { argmax } from "../../src/kernels/sampling.ts";
import { type LanguageModel, requireTask } from "../../src/models/model.ts";
import type { KvCache } from "../../src/nn/cache.ts";
import { lastTokens } from "../../src/nn/chosen-tokens.ts";
import { generateTokens } from "../../src/train/generate.ts";
import { fixturePath } from "../support/fixtures.ts";
import { openTestTask } from "../support/task-fixtures.ts";

const STEPS = 5;
const PROMPTS = [[5, 17, 3, 8, 2, 9], [7], [3, 1, 4]];

async function open(name: string): Promise<LanguageModel> {
  return requireTask(await openTestTask(fixturePath(name)), "causal-lm");
}

async function alone(
  model: LanguageModel,
  prompt: readonly number[],
  maxNewTokens: number,
): Promise<number[]> {
  const ids: number[] = [];
  for await (const id of generateTokens(model, prompt, { maxNewTokens })) ids.push(id);
  return ids;
}

/** The most likely token after each document of a batch, whose tokens the cache takes up. */
async function step(model: LanguageModel, cache: KvCache, batch: TokenBatch): Promise<number[]> {
  const { device } = model;
  const best = scoped(device, () => {
    const ids = fromArray(device, batch.inputIds, [batch.batchSize, batch.length]);
    const context = { training: false, seed: 0, cache, geometry: cache.place(batch) };
    const hidden = model.hidden(ids, context);
    cache.extend(context.geometry);
    return argmax(model.logits(lastTokens(hidden, context)));
  });
  const tokens = [...(await best.readIntegers())];
  device.memory.release(best.storage);
  return tokens;
}

/** Rows that go on with some tokens each, padded on the right; none for a row that has ended. */
const next = (rows: readonly (readonly number[])[]) =>
  packRows(
    rows.map((row) => (row.length > 0 ? [row] : [])),
    { padToMultipleOf: 1 },
  );

const models = [
  "llama-gqa",
  "families/gemma3",
  "families/smollm3",
  "tasks/gpt2",
  "tasks/opt",
  "tasks/gpt-neox",
];
describe.each(models)("%s", (name) => {
  test.each(["left", "right"] as const)("prompts padded on the %s", async (paddingSide) => {
    const model = await open(name);
    const wanted: number[][] = [];
    for (const prompt of PROMPTS) wanted.push(await alone(model, prompt, STEPS));
    const cache = model.newCache(16, PROMPTS.length);
    const texts: number[][] = PROMPTS.map(() => []);
    let rows = packRows(
      PROMPTS.map((prompt) => [prompt]),
      { padToMultipleOf: 8, paddingSide },
    );
    for (let i = 0; i < STEPS; i++) {
      const tokens = await step(model, cache, rows);
      for (const [n, token] of tokens.entries()) texts[n]!.push(token);
      rows = next(tokens.map((token) => [token]));
    }
    expect(texts).toEqual(wanted);
    cache.release();
    model.release();
  });
});

test("rows end, and go on with several tokens, each on its own", async () => {
  const model = await open("llama-gqa");
  const cache = model.newCache(16, 3);
  await step(model, cache, next(PROMPTS));
  const [first, third] = await step(model, cache, next([[1, 2], [], [6, 5, 4, 3]]));
  expect(first).toBe((await alone(model, [...PROMPTS[0]!, 1, 2], 1))[0]);
  expect(third).toBe((await alone(model, [...PROMPTS[2]!, 6, 5, 4, 3], 1))[0]);
  const [second] = await step(model, cache, next([[], [8, 9], []]));
  expect(second).toBe((await alone(model, [...PROMPTS[1]!, 8, 9], 1))[0]);
  expect(cache.rows.map(({ end }) => end)).toEqual([8, 3, 7]);
  cache.clear();
  expect(await step(model, cache, next(PROMPTS))).toEqual(
    await Promise.all(PROMPTS.map(async (prompt) => (await alone(model, prompt, 1))[0])),
  );
  expect(() => cache.place(next([[1], [1], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]]))).toThrow(
    "17 tokens exceed the capacity of 16",
  );
  cache.release();
  model.release();
});

test("rows are cut, put in another order, and joined with those of another cache", async () => {
  const model = await open("llama-gqa");
  const [a, b] = [model.newCache(16, 3), model.newCache(8, 1)];
  await step(model, a, next(PROMPTS));
  await step(model, b, next([[1, 2]]));
  a.truncate(0, 4);
  a.truncate(1, 0);
  a.arrange(
    [
      { cache: a, row: 2 },
      { cache: b, row: 0 },
      { cache: a, row: 0 },
      { cache: a, row: 1 },
    ],
    24,
  );
  expect([a.capacity, a.rows.map(({ end }) => end)]).toEqual([24, [3, 2, 4, 0]]);
  const tokens = await step(model, a, next([[6, 5], [4], [7, 7, 7], [9]]));
  const wanted = [[...PROMPTS[2]!, 6, 5], [1, 2, 4], [...PROMPTS[0]!.slice(0, 4), 7, 7, 7], [9]];
  expect(tokens).toEqual(await Promise.all(wanted.map(async (prompt) => (await alone(model, prompt, 1))[0])));
  expect(() => a.arrange([{ cache: a, row: 2 }], 5)).toThrow("7 tokens exceed the capacity of 5");
  expect(b.rows).toEqual([{ first: 0, end: 2 }]);
  a.release();
  b.release();
  model.release();
});
