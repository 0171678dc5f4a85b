// Texts that are written side by side are those that are written one by one.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Model } from "../../src/load/model.ts";
import { type BatchOptions, generateBatch } from "../../src/train/generate-batch.ts";
import { type GenerateOptions, type GenerationReport, generate } from "../../src/train/generate-text.ts";
import { BUNDLED_MODEL, openTestModel } from "../support/fixtures.ts";

const demo = await openTestModel(BUNDLED_MODEL);
afterAll(() => demo.release());

const PROMPTS = [
  "In the morning",
  "Anna carried 3 red lamps to the",
  "Tom",
  "There was a garden behind the old house, and in the garden there was a",
  "Who",
  "The",
];

async function alone(options: GenerateOptions, model: Model = demo): Promise<string[]> {
  const texts: string[] = [];
  for (const [i, prompt] of PROMPTS.entries()) {
    let text = "";
    for await (const piece of generate(model, prompt, { ...options, seed: (options.seed ?? 0) + i }))
      text += piece;
    texts.push(text);
  }
  return texts;
}

async function together(options: BatchOptions, model: Model = demo) {
  const texts = PROMPTS.map(() => "");
  const reports: GenerationReport[] = [];
  for await (const { index, piece, report } of generateBatch(model, PROMPTS, options)) {
    texts[index] += piece;
    if (report) reports[index] = report;
  }
  return { texts, reports };
}

describe("texts side by side", () => {
  let oneByOne: string[] = [];
  beforeAll(async () => {
    oneByOne = await alone({ maxNewTokens: 14 });
  });

  test.each([1, 3, 8])("%d at a time", async (batchSize) => {
    const { texts, reports } = await together({ maxNewTokens: 14, batchSize });
    expect(texts).toEqual(oneByOne);
    expect(reports.length).toBe(PROMPTS.length);
    for (const { newTokens, ending } of reports) {
      expect(newTokens).toBeLessThanOrEqual(14);
      expect(ending).toBe(newTokens === 14 ? "cut" : "complete");
    }
  });

  test("that end at different times, by a stop string or by themselves", async () => {
    const options = { maxNewTokens: 30, stop: ["e ", ". "] };
    const { texts, reports } = await together({ ...options, batchSize: 3 });
    expect(texts).toEqual(await alone(options));
    expect(new Set(reports.map(({ newTokens }) => newTokens)).size).toBeGreaterThan(2);
  });

  test("with a seed each", async () => {
    const options = { maxNewTokens: 10, temperature: 1.2, seed: 7 };
    const { texts } = await together({ ...options, batchSize: 4 });
    expect(texts).toEqual(await alone(options));
  });

  test("that a model rotates by their length are written one by one", async () => {
    const seen: number[] = [];
    const rotating: Model = {
      ...demo,
      rotatesAlike: (a, b) => a > 16 === b > 16,
      newCache(capacity, rows = 1) {
        seen.push(rows);
        return demo.newCache(capacity, rows);
      },
    };
    const options = { maxNewTokens: 10 };
    const { texts } = await together({ ...options, batchSize: 8 }, rotating);
    expect(texts).toEqual(await alone(options));
    expect(seen[0]).toBeGreaterThan(1);
    expect(seen.slice(1).length).toBeGreaterThan(0);
    expect(Math.max(...seen.slice(1))).toBe(1);
  });
});

test("what is wrong with prompts is told of all of them, before anything is written", async () => {
  const prompts = ["a", "Anna ".repeat(300), { messages: [{ role: "user", content: "a" }] }];
  await expect(generateBatch(demo, prompts).next()).rejects.toThrow(
    /^generateBatch: 2 problems:\n {2}- prompt 2: generate: the prompt has \d+ tokens; the model has 256 positions(.|\n)*- prompt 3: /,
  );
  await expect(generateBatch(demo, "a" as never).next()).rejects.toThrow("the prompts are no list");
});

test("no prompts give nothing; whoever stops reading gets the memory back", async () => {
  for await (const _ of generateBatch(demo, [])) throw new Error("there is nothing to write");
  const stop = async () => {
    for await (const { piece } of generateBatch(demo, PROMPTS)) if (piece !== "") break;
  };
  await stop();
  const before = demo.device.memory.stats.used;
  await stop();
  expect(demo.device.memory.stats.used).toBe(before);
});
