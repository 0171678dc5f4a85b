import { existsSync } from "node:fs";
import { failAll } from "../util/fail.ts";

/** An adapter as a user names it, and how much of it is wanted. */
export interface WeightedReference {
  readonly reference: string;
  readonly weight: number;
}

/**
 * Reads `ref` and `ref=weight`. A folder whose own name ends so is taken for that.
 * @throws LoraError listing the words whose weight is no number
 */
export function weightedReferences(words: readonly string[]): WeightedReference[] {
  const found = words.map((word) => ({ word, ...readWord(word) }));
  const wrong = found.filter(({ weight }) => !Number.isFinite(weight));
  failAll(
    "adapters",
    wrong.map(({ word }) => `${word}: what follows = is no number`),
    "write REF=WEIGHT, such as my-adapter=0.5",
  );
  return found;
}

function readWord(word: string): WeightedReference {
  const place = word.lastIndexOf("=");
  const isAddress = /^https?:\/\/[^=]*\?/.test(word); // its query may hold =
  if (place < 0 || isAddress || existsSync(word)) return { reference: word, weight: 1 };
  const text = word.slice(place + 1);
  return { reference: word.slice(0, place), weight: text.trim() === "" ? Number.NaN : Number(text) };
}
