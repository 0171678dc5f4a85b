import { isObject, type JsonObject } from "../../util/json.ts";
import { Pipeline } from "./pipeline/pipeline.ts";
import { readTokenizerSchema } from "./schema/schema.ts";
import { type SettledTokenizer, settleTokenizer } from "./settle-tokenizer.ts";
import { readSpecialTokens, type SpecialTokens } from "./special-tokens.ts";
import { startEncoder } from "./text-start.ts";
import {
  addsSpecialTokens,
  type DecodeOptions,
  type DecodeStreamOptions,
  type EncodeOptions,
  skipsSpecialTokens,
  streamOptions,
} from "./tokenizer-options.ts";

/** Turns a growing list of tokens into text that can be printed at once. */
export interface DecodeStream {
  /** Takes the next token; gives the text that is certain by now, which may be empty. */
  push(id: number): string;
  /** Gives what was held back, with U+FFFD for bytes that never became a character. */
  flush(): string;
}

/** Text to token ids and back, exactly as the Python `tokenizers` library does it. */
export interface Tokenizer extends SpecialTokens {
  /** The token ids of a text, with the model's special tokens (such as a leading BOS) unless told otherwise. */
  encode(text: string, options?: EncodeOptions): number[];
  /**
   * The token ids of a text, without special tokens around it, and for each the UTF-16 units of the text that it stands
   * for, the end not included. A token that holds a part of a character stands for the whole of it.
   * @param count so many of them only, as in {@link encodeStart}
   * @throws LoraError where a token can't be found again in the text: it is unknown, or the text is changed beyond that
   */
  encodeWithOffsets(
    text: string,
    count?: number,
  ): { ids: number[]; offsets: (readonly [start: number, end: number])[] };
  /** The first `count` of these ids, special tokens included; of a long text no more is read than they need. */
  encodeStart(text: string, count: number): number[];
  /**
   * The ids of two texts with the special tokens around and between them, and which segment each id is of. An empty
   * second text counts as none, as in transformers; `TextEncoder.encodePair` frames that too.
   */
  encodePair(first: string, second: string): { ids: number[]; segments: number[] };
  /** The text of token ids; ids outside the vocabulary are left out. */
  decode(ids: readonly number[], options?: DecodeOptions): string;
  /** A token as the vocabulary writes it, such as `Ġthe`; undefined for an id that it has not. */
  tokenOf(id: number): string | undefined;
  /** The text of a special token, which decoded text leaves out; undefined for any other. */
  specialToken(id: number): string | undefined;
  /** Starts decoding token by token. */
  decodeStream(options?: DecodeStreamOptions): DecodeStream;
  /** Texts of the tokens that a file gives a role, by its name, such as `eos_token`: chat templates write them. */
  readonly specialTokens: Readonly<Record<string, string>>;
  /** One more than the highest id. The model's embedding may have more rows, never fewer. */
  readonly vocabSize: number;
}

/**
 * Makes a tokenizer from the parsed JSON files of a Hugging Face folder.
 * @param tokenizerJson `tokenizer.json`
 * @param tokenizerConfig `tokenizer_config.json`: the names of the special tokens
 * @param modelConfigs `config.json` and `generation_config.json` merged: ids of special tokens, where the names are missing
 */
export function createTokenizer(
  tokenizerJson: unknown,
  tokenizerConfig: unknown = {},
  modelConfigs: unknown = {},
): Tokenizer {
  const config = isObject(tokenizerConfig) ? tokenizerConfig : {};
  const settled = settleTokenizer(readTokenizerSchema(tokenizerJson), { config });
  return makeTokenizer(settled, isObject(modelConfigs) ? modelConfigs : {});
}

/**
 * Makes a tokenizer of what its files say together.
 * @param modelConfigs as in {@link createTokenizer}
 */
export function makeTokenizer({ json, roles }: SettledTokenizer, modelConfigs: JsonObject): Tokenizer {
  const pipeline = new Pipeline(json);

  const framedStart = startEncoder(json, (text) => pipeline.encode([text], true));
  const placedStart = startEncoder(json, (text) => pipeline.encodeWithPlaces(text));

  const decode: Tokenizer["decode"] = (ids, options) => {
    const skipSpecialTokens = skipsSpecialTokens(options);
    const tokens = ids.map((id) => pipeline.tokenOf(id)).filter((token) => token !== undefined);
    return pipeline.decode(skipSpecialTokens ? tokens.filter((token) => !pipeline.isSpecial(token)) : tokens);
  };

  return {
    encode: (text, options) => [...pipeline.encode([text], addsSpecialTokens(options)).ids],
    encodeWithOffsets: (text, count) => {
      const { ids, places } =
        count === undefined ? pipeline.encodeWithPlaces(text) : placedStart(text, count);
      return { ids: [...ids.slice(0, count)], offsets: [...places.slice(0, count)] };
    },
    encodeStart: (text, count) => [...framedStart(text, count).ids.slice(0, count)],
    encodePair: (first, second) => {
      const { ids, segments } = pipeline.encode(second === "" ? [first] : [first, second], true);
      return { ids: [...ids], segments: [...segments] };
    },
    decode,
    tokenOf: (id) => pipeline.tokenOf(id),
    specialToken: (id) => pipeline.specialToken(id),
    decodeStream(options) {
      const { after, skipSpecialTokens } = streamOptions(options);
      return startStream({
        after,
        decode: (ids) => decode(ids, { skipSpecialTokens: false }),
        isText: (id) => {
          const token = pipeline.tokenOf(id);
          return token !== undefined && !(skipSpecialTokens && pipeline.isSpecial(token));
        },
      });
    },
    ...readSpecialTokens((token) => pipeline.idOf(token), roles, modelConfigs),
    specialTokens: Object.fromEntries(
      Object.entries(roles).filter((entry): entry is [string, string] => entry[1] !== null),
    ),
    vocabSize: 1 + pipeline.highestId,
  };
}

/** Tokens held back at most: a text that is not UTF-8 must not be kept for ever. */
const HELD_AT_MOST = 64;

interface StreamParts {
  after: readonly number[];
  decode: (ids: readonly number[]) => string;
  /** False for special tokens that are left out and for ids outside the vocabulary. */
  isText: (id: number) => boolean;
}

/**
 * Decodes the tokens printed last (`context`) once with and once without the new ones and gives the difference:
 * a token's text depends on what stands before it (a SentencePiece decoder strips the first space of all).
 * A text that ends in U+FFFD waits, since the next token may bring the missing bytes.
 */
function startStream({ after, decode, isText }: StreamParts): DecodeStream {
  let context = after.filter(isText).slice(-HELD_AT_MOST);
  let pending: number[] = [];

  const release = (): string => {
    const before = decode(context);
    const text = decode([...context, ...pending]);
    // Broken bytes can change the text before them; then only the new tokens are shown.
    const piece = text.startsWith(before) ? text.slice(before.length) : decode(pending);
    context = pending;
    pending = [];
    return piece;
  };

  return {
    push(id) {
      if (!isText(id)) return "";
      pending.push(id);
      const complete = !decode([...context, ...pending]).endsWith("\uFFFD");
      return complete || pending.length >= HELD_AT_MOST ? release() : "";
    },
    flush: () => (pending.length > 0 ? release() : ""),
  };
}
