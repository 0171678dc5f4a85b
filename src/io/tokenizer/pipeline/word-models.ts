import type { ModelJson } from "../schema/models.ts";
import { type Model, modelOf, unknownId, vocabularyOf } from "./model.ts";
import { PrefixIndex } from "./prefix-index.ts";

type Json<Name extends ModelJson["type"]> = Extract<ModelJson, { readonly type: Name }>;

/** WordLevel: each piece is a token. */
export function wordLevel({ vocab, unk_token: unknown }: Json<"WordLevel">): Model {
  const vocabulary = vocabularyOf(Object.entries(vocab));
  return modelOf(vocabulary, (piece) => [vocabulary.ids.get(piece) ?? unknownId(vocabulary, unknown)]);
}

/** WordPiece (BERT): the longest token that a piece begins with, then the longest that continues it, and so on. */
export function wordPiece(json: Json<"WordPiece">): Model {
  const { unk_token: unknown, continuing_subword_prefix: prefix, max_input_chars_per_word: most } = json;
  const vocabulary = vocabularyOf(Object.entries(json.vocab));
  const whole = new PrefixIndex(vocabulary.ids);
  const parts = [...vocabulary.ids].filter(([token]) => token.startsWith(prefix));
  const continuing = new PrefixIndex(parts.map(([token, id]) => [token.slice(prefix.length), id]));

  const longestAt = (piece: string, start: number): [id: number, end: number] | undefined => {
    let longest: [id: number, end: number] | undefined;
    (start > 0 ? continuing : whole).search(piece, start, (end, id) => {
      longest = [id, end];
    });
    return longest;
  };

  return modelOf(vocabulary, (piece) => {
    if (piece.length > most && [...piece].length > most) return [unknownId(vocabulary, unknown)];
    const ids: number[] = [];
    for (let start = 0; start < piece.length; ) {
      const found = longestAt(piece, start);
      if (!found) return [unknownId(vocabulary, unknown)];
      ids.push(found[0]);
      start = found[1];
    }
    return ids;
  });
}
