// What a cache knows of the text before gives the scores of one that is read anew, also where rotations depend on its length.
import { expect, test } from "vitest";
import { readAndRelease } from "../../src/gpu/tensor.ts";
import { type LanguageModel, requireTask } from "../../src/models/model.ts";
import { TextCache } from "../../src/train/text-cache.ts";
import { relativeNormError } from "../support/compare.ts";
import { fixturePath } from "../support/fixtures.ts";
import { openTestTask } from "../support/task-fixtures.ts";

const text = (length: number) => Array.from({ length }, (_, i) => (i * 7 + 3) % 53);

async function scores(model: LanguageModel, cache: TextCache, ids: readonly number[]): Promise<Float32Array> {
  const [buffer] = await readAndRelease(model.device, () => [cache.scores([ids])]);
  return new Float32Array(buffer as ArrayBuffer);
}

/** Lengths of texts that begin alike, one after another, and how many tokens of each are known then. */
const CASES: [name: string, lengths: [length: number, known: number][]][] = [
  ["llama-gqa", [[3, 0], [12, 3], [40, 12], [20, 19], [20, 19]]], // biome-ignore format: a row is a text
  ["families/llama-dynamic", [[5, 0], [12, 5], [20, 0], [30, 0], [8, 0], [16, 8]]], // biome-ignore format: as above
  ["families/phi3", [[4, 0], [8, 4], [9, 0], [20, 9], [6, 0], [8, 6]]], // biome-ignore format: as above
];

test.each(CASES)("%s", async (name, lengths) => {
  const model = requireTask(await openTestTask(fixturePath(name)), "causal-lm");
  const [kept, anew] = [new TextCache(model), new TextCache(model)];
  for (const [length, known] of lengths) {
    const ids = text(length);
    expect([length, kept.begin(ids, length)]).toEqual([length, known]);
    anew.open(1, length);
    const want = await scores(model, anew, ids);
    expect(relativeNormError(await scores(model, kept, ids), want)).toBeLessThan(1e-5);
  }
  // Another text from the fourth token on.
  const other = [...text(4), 1, 1, 1];
  expect(kept.begin(other, 7)).toBe(4);
  anew.open(1, 7);
  const want = await scores(model, anew, other);
  expect(relativeNormError(await scores(model, kept, other), want)).toBeLessThan(1e-5);
  kept.release();
  anew.release();
  model.release();
});
