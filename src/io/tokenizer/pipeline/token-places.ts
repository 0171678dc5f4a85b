import { fail } from "../../../util/fail.ts";
import type { PreTokenizerJson } from "../schema/pre-tokenizers.ts";
import type { TokenizerJson } from "../schema/schema.ts";
import { byteLevelBytes, encodeUtf8, tokenByte } from "./bytes.ts";
import { unsupported } from "./component.ts";
import type { Span } from "./spans.ts";

/** Finds where in a normalised text its tokens stand. */
export type FindPlaces = (text: string, tokens: readonly string[]) => Span[];

const SPACE = 0x20;

/**
 * Makes a function that lays tokens along the text that they were made of, byte by byte: nothing is guessed, for every
 * byte of each token has to be there. A token that holds a part of a character stands for the whole of it.
 */
export function placeFinder({ pre_tokenizer, model }: TokenizerJson): FindPlaces {
  if (model.type === "BPE" && (model.continuing_subword_prefix || model.end_of_word_suffix)) {
    return () => unsupported("model", "knowing where in a text tokens with a prefix or a suffix stand");
  }
  const isByteLevel = pre_tokenizer !== null && usesBytes(pre_tokenizer);
  const hasByteTokens =
    model.type !== "WordPiece" && model.type !== "WordLevel" && model.byte_fallback === true;
  const known = new Map<string, Uint8Array>();
  const bytesOf = (token: string): Uint8Array => {
    const byte = hasByteTokens ? tokenByte(token) : undefined;
    if (byte !== undefined) return Uint8Array.of(byte);
    return isByteLevel ? byteLevelBytes(token) : encodeUtf8(plainSpaces(token));
  };
  return (text, tokens) => {
    const track = new Track(isByteLevel ? text : plainSpaces(text));
    return tokens.map((token, i) => {
      const bytes = known.get(token) ?? bytesOf(token);
      known.set(token, bytes);
      return track.take(token, bytes, i === 0);
    });
  };
}

/** SentencePiece writes a space as "▁". */
const plainSpaces = (text: string) => text.replaceAll("▁", " ");

function usesBytes(json: PreTokenizerJson): boolean {
  return json.type === "Sequence" ? json.pretokenizers.some(usesBytes) : json.type === "ByteLevel";
}

/** A text along which tokens are laid. */
class Track {
  readonly #bytes: Uint8Array;
  /** For each byte the UTF-16 units of its character. */
  readonly #units: readonly Span[];
  readonly #length: number;
  #at = 0;

  constructor(text: string) {
    this.#bytes = encodeUtf8(text);
    this.#length = text.length;
    const units: Span[] = [];
    let unit = 0;
    for (const character of text) {
      const span: Span = [unit, unit + character.length];
      const code = character.codePointAt(0) as number;
      const bytes = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
      for (let i = 0; i < bytes; i++) units.push(span);
      unit += character.length;
    }
    this.#units = units;
  }

  take(token: string, bytes: Uint8Array, isFirst: boolean): Span {
    // Splitting at white space drops it, and a space that is put before a text is not in it.
    if (!this.#begins(bytes) && bytes[0] !== SPACE) this.#skipSpace();
    const isAdded = isFirst && bytes[0] === SPACE && !this.#begins(bytes);
    const own = isAdded ? bytes.subarray(1) : bytes;
    if (!this.#begins(own)) {
      const got = `the token ${JSON.stringify(token)} is not where the text goes on`;
      fail("tokenizer", got, "the text holds what no token stands for, or white space is changed");
    }
    const start = this.#at;
    this.#at += own.length;
    const from = this.#units[start]?.[0] ?? this.#length;
    return [from, own.length === 0 ? from : (this.#units[this.#at - 1]?.[1] ?? this.#length)];
  }

  #begins(bytes: Uint8Array): boolean {
    return bytes.every((byte, i) => this.#bytes[this.#at + i] === byte);
  }

  #skipSpace(): void {
    while (this.#bytes[this.#at] === SPACE || this.#bytes[this.#at] === 0x0a) this.#at++;
  }
}
