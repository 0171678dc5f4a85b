import { fromArray } from "../../src/gpu/tensor.ts";
import type { Model } from "../../src/load/model.ts";
import { placeTokens, wholeRows } from "../../src/nn/geometry.ts";
import { generateTokens } from "../../src/train/generate.ts";

/** Tokens that prompts are continued by. */
export const COUNT = 100;
/** The prompts. */
export const TEXTS = [
  "the sand and the ring",
  " Then in\n\nanother land: 42 things, it's 3.50!  ",
  "tea\tand  naïve ünïcode 🙂 日本",
];

/** Our greedy continuation of each prompt. */
export async function continueAll(
  model: Model,
  contexts: readonly (readonly number[])[],
): Promise<number[][]> {
  const all: number[][] = [];
  for (const ids of contexts) {
    const found: number[] = [];
    for await (const id of generateTokens(model, ids, { maxNewTokens: COUNT, temperature: 0 }))
      found.push(id);
    all.push(found);
  }
  return all;
}

/** Whether llama.cpp makes the same tokens of the texts; says where not. */
export function compareTokens(
  name: string,
  { tokenizer }: Model,
  theirs: readonly (readonly number[])[],
): boolean {
  const differ = TEXTS.filter((text, i) => {
    const own = tokenizer?.encode(text, { addSpecialTokens: false }) ?? [];
    if (String(own) === String(theirs[i])) return false;
    console.log(`FAIL ${name}: ${JSON.stringify(text)}\n  ours   ${own}\n  theirs ${theirs[i]}`);
    return true;
  });
  return differ.length === 0;
}

/** What two programs continue the same prompts with. */
export interface Comparison {
  readonly model: Model;
  readonly contexts: readonly (readonly number[])[];
  readonly ours: readonly (readonly number[])[];
  readonly theirs: readonly (readonly number[])[];
  /** How far apart the scores of two tokens may be that were chosen differently, in standard deviations of all scores. */
  readonly limit: number;
}

/** Compares the continuations, prints where they part, and how far the scores are apart there; false where too far. */
export async function compareIds(
  what: string,
  { model, contexts, ours, theirs, limit }: Comparison,
): Promise<boolean> {
  const found = await Promise.all(
    ours.map(async (ids, i) => {
      const at = ids.findIndex((id, k) => id !== theirs[i]?.[k]);
      if (at < 0) return { same: ids.length, gap: 0 };
      const before = [...(contexts[i] ?? []), ...ids.slice(0, at)];
      return { same: at, gap: await gapBetween(model, before, ids[at] ?? 0, theirs[i]?.[at] ?? 0) };
    }),
  );
  const gaps = found.map(({ gap }) => gap);
  const verdict = gaps.every((gap) => gap === 0)
    ? "same"
    : gaps.every((gap) => gap <= limit)
      ? "near"
      : "FAIL";
  const lengths = found.map(({ same }, i) => `${same}/${ours[i]?.length}`).join(", ");
  const apart =
    verdict === "same" ? "" : `; scores there ${gaps.map((gap) => gap.toFixed(4)).join(", ")} σ apart`;
  console.log(`${verdict} ${what}: ${lengths} tokens${apart}`);
  return verdict !== "FAIL";
}

/** How much lower our score of another token is than that of the one we chose, by the spread of all. */
async function gapBetween(model: Model, ids: readonly number[], own: number, other: number): Promise<number> {
  const input = fromArray(model.device, Uint32Array.from(ids), [1, ids.length]);
  const geometry = placeTokens(model.device, wholeRows(1, ids.length));
  const scores = await model.logits(model.hidden(input, { training: false, seed: 0, geometry })).read();
  const last = scores.subarray(-model.config.vocabSize);
  const mean = last.reduce((sum, score) => sum + score, 0) / last.length;
  const spread = Math.sqrt(last.reduce((sum, score) => sum + (score - mean) ** 2, 0) / last.length);
  return ((last[own] ?? 0) - (last[other] ?? 0)) / spread;
}
