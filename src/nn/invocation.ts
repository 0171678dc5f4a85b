import type { Tensor } from "../gpu/tensor.ts";
import type { Geometry } from "./geometry.ts";
import type { Adaptation } from "./module.ts";

/**
 * What wakes an adapter up that acts on some tokens only: those from the last occurrence of a sequence on, in each document.
 * Activated LoRA, Greenewald et al. 2025, arXiv 2504.12397.
 */
export interface Invocation {
  /** Ids of its tokens, at least one. */
  readonly sequence: readonly number[];
  /** What the adapter does in a pass, u32 `[n]` being the tokens that it acts on, among all; undefined where there are none. */
  acting(tokens: Tensor | undefined): Adaptation;
}

/** What a pass knows of its tokens on the host. */
export type PassTokens = Pick<Geometry, "length" | "documents" | "places" | "texts">;

/** The tokens of some rows of a pass, as a pass of these rows alone has them. */
export function tokensOfRows(tokens: PassTokens, rows: readonly number[]): PassTokens {
  const { documents, places, texts, length } = tokens;
  const own = rows.flatMap((row, place) =>
    documents.flatMap((document, i) =>
      document.row === row ? [{ document: { ...document, row: place }, text: texts?.[i] ?? [] }] : [],
    ),
  );
  const chosen = new Uint32Array(rows.length * length);
  for (const [place, row] of rows.entries())
    chosen.set(places.subarray(row * length, (row + 1) * length), place * length);
  return {
    documents: own.map(({ document }) => document),
    texts: texts && own.map(({ text }) => text),
    places: chosen,
    length,
  };
}

/** Where the last occurrence of a sequence begins in a text; Infinity where it has none. */
export function lastOccurrence(text: readonly number[], sequence: readonly number[]): number {
  for (let at = text.length - sequence.length; at >= 0; at--) {
    if (sequence.every((token, i) => text[at + i] === token)) return at;
  }
  return Number.POSITIVE_INFINITY;
}

/**
 * The tokens of a pass, among all of its rows, that stand in the last occurrence of a sequence in their document or behind it.
 * Undefined where the pass doesn't know which its tokens are.
 */
export function invokedTokens(
  { documents, places, texts, length }: PassTokens,
  sequence: readonly number[],
): Uint32Array | undefined {
  if (!texts) return undefined;
  const found = documents.flatMap(({ row, first, length: count }, i) => {
    const start = lastOccurrence(texts[i] ?? [], sequence);
    const all = Array.from({ length: count }, (_, token) => row * length + first + token);
    return all.filter((token) => (places[token] ?? 0) >= start);
  });
  return Uint32Array.from(found);
}

/**
 * How many of the first `length` tokens of a text an adapter that waits for a sequence treats alike in another text, with
 * which it begins.
 */
export function treatedAlike(
  sequence: readonly number[],
  [one, other]: readonly [readonly number[], readonly number[]],
  length: number,
): number {
  const [a, b] = [lastOccurrence(one, sequence), lastOccurrence(other, sequence)];
  return a === b ? length : Math.min(length, a, b);
}
