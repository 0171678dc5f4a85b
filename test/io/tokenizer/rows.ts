import type { Tokenizer } from "../../../src/io/tokenizer/tokenizer.ts";

/** Ids of a text, without special tokens, of a pair, its segments, and decoded without and with special tokens. */
export type Row = [number[], number[], number[], number[], string, string];

/** What a tokenizer makes of a text, or null where it gives up: as `row` of tokenizer_components.py. */
export function rowOf(tokenizer: Tokenizer, texts: readonly string[], i: number): Row | null {
  const text = texts[i] ?? "";
  try {
    const ids = tokenizer.encode(text);
    const pair = tokenizer.encodePair(text, texts.at(i - 1) || "b");
    const plain = tokenizer.encode(text, { addSpecialTokens: false });
    return [ids, plain, pair.ids, pair.segments, ...decodedRow(tokenizer, ids)];
  } catch {
    return null;
  }
}

/** Ids decoded without and with special tokens. */
export function decodedRow(tokenizer: Tokenizer, ids: readonly number[]): [string, string] {
  return [tokenizer.decode(ids), tokenizer.decode(ids, { skipSpecialTokens: false })];
}
