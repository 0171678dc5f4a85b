import { LoraError } from "../../../util/fail.ts";
import { byteToken, encodeUtf8 } from "./bytes.ts";

/** Turns pieces of text into tokens. */
export interface Model {
  /** The ids of a piece's tokens. */
  tokenize(piece: string): readonly number[];
  idOf(token: string): number | undefined;
  tokenOf(id: number): string | undefined;
  readonly highestId: number;
}

/** The tokens of a model, both ways. */
export interface Vocabulary {
  readonly ids: ReadonlyMap<string, number>;
  readonly tokens: ReadonlyMap<number, string>;
  readonly highestId: number;
}

/** A vocabulary of token and id, in order; of a token that is there twice the last id counts. */
export function vocabularyOf(entries: readonly (readonly [token: string, id: number])[]): Vocabulary {
  return {
    ids: new Map(entries),
    tokens: new Map(entries.map(([token, id]) => [id, token])),
    highestId: entries.reduce((highest, [, id]) => Math.max(highest, id), -1),
  };
}

/** A model of a vocabulary and what it makes of a piece. */
export function modelOf({ ids, tokens, highestId }: Vocabulary, tokenize: Model["tokenize"]): Model {
  return {
    tokenize,
    idOf: (token) => ids.get(token),
    tokenOf: (id) => tokens.get(id),
    highestId,
  };
}

/** The id of the token for unknown text. @throws LoraError where there is none, as the Rust library does */
export function unknownId(vocabulary: Vocabulary, token: string | undefined): number {
  const id = token === undefined ? undefined : vocabulary.ids.get(token);
  if (id !== undefined) return id;
  throw new LoraError(
    "input",
    "tokenizer.json",
    `a text holds what no token stands for, and there is no token for unknown text (${token ?? "none is named"})`,
    "name a token of the vocabulary as unk_token (Unigram: unk_id), or leave the text out",
  );
}

/** Byte fallback: the ids of a text's UTF-8 bytes, or undefined where one of them is no token. */
export function byteTokens({ ids }: Vocabulary): (text: string) => number[] | undefined {
  const ofByte = Array.from({ length: 256 }, (_, byte) => ids.get(byteToken(byte)));
  return (text) => {
    const found: number[] = [];
    for (const byte of encodeUtf8(text)) {
      const id = ofByte[byte];
      if (id === undefined) return undefined;
      found.push(id);
    }
    return found;
  };
}
