import type { ModelJson } from "../schema/models.ts";
import { byteTokens, type Model, modelOf, unknownId, type Vocabulary, vocabularyOf } from "./model.ts";
import { PrefixIndex } from "./prefix-index.ts";

/** How much worse than the worst token a character without one is (SentencePiece's `kUnkPenalty`). */
const UNKNOWN_PENALTY = 10;

/** Unigram (SentencePiece): the tokens of the highest sum of scores. */
export function unigram(json: Extract<ModelJson, { readonly type: "Unigram" }>): Model {
  const pieces = json.vocab;
  const unknown = json.unk_id ?? undefined;
  const vocabulary = vocabularyOf(pieces.map(([token], id) => [token, id]));
  const path = new BestPath(pieces, vocabulary, unknown);
  const bytes = json.byte_fallback ? byteTokens(vocabulary) : undefined;

  const idsOf = (text: string): readonly number[] => {
    const id = vocabulary.ids.get(text);
    if (id !== undefined) return [id];
    return bytes?.(text) ?? [unknown ?? unknownId(vocabulary, undefined)];
  };
  return modelOf(vocabulary, (text) => path.split(text).flatMap(idsOf));
}

/** Viterbi's algorithm over the tokens of a text (`encode_optimized` of the Rust library). */
class BestPath {
  private readonly index: PrefixIndex;
  private readonly scores: Float64Array;
  private readonly unknown: number | undefined;
  private readonly unknownScore: number;

  constructor(
    pieces: readonly (readonly [token: string, score: number])[],
    vocabulary: Vocabulary,
    unknown: number | undefined,
  ) {
    this.index = new PrefixIndex(vocabulary.ids);
    this.scores = Float64Array.from(pieces, ([, score]) => score);
    this.unknown = unknown;
    this.unknownScore =
      this.scores.reduce((lowest, score) => Math.min(lowest, score), Infinity) - UNKNOWN_PENALTY;
  }

  /** The text in tokens; neighbours that are unknown are one. */
  split(text: string): string[] {
    const { starts, ids } = this.search(text);
    const tokens: string[] = [];
    let unknownEnd = 0;
    for (let end = text.length; end > 0; end = starts[end]!) {
      const start = starts[end]!;
      const isUnknown = this.unknown !== undefined && ids[end] === this.unknown;
      if (isUnknown) unknownEnd ||= end;
      else {
        if (unknownEnd > 0) tokens.push(text.slice(end, unknownEnd));
        unknownEnd = 0;
        tokens.push(text.slice(start, end));
      }
    }
    if (unknownEnd > 0) tokens.push(text.slice(0, unknownEnd));
    return tokens.reverse();
  }

  /** For each place the token of the best path that ends there. */
  private search(text: string): { starts: Int32Array; ids: Int32Array } {
    const best = new Float64Array(text.length + 1);
    const starts = new Int32Array(text.length + 1).fill(-1);
    const ids = new Int32Array(text.length + 1);
    const reach = (start: number, end: number, id: number, score: number) => {
      const total = score + best[start]!;
      if (starts[end] !== -1 && total <= best[end]!) return;
      [best[end], starts[end], ids[end]] = [total, start, id];
    };
    for (let start = 0; start < text.length; ) {
      const next = start + ((text.codePointAt(start) ?? 0) > 0xffff ? 2 : 1);
      let hasCharacter = false;
      this.index.search(text, start, (end, id) => {
        reach(start, end, id, this.scores[id]!);
        hasCharacter ||= end === next;
      });
      if (!hasCharacter) reach(start, next, this.unknown ?? -1, this.unknownScore);
      start = next;
    }
    return { starts, ids };
  }
}
