import type { DecoderJson } from "../schema/decoders.ts";
import { decodeBytes, fromByteLevel, tokenByte } from "./bytes.ts";
import { type Makers, make, unsupported } from "./component.ts";
import { checkGrowth, totalLength } from "./growth.ts";
import { readPattern } from "./pattern.ts";
import { replaceSpans } from "./spans.ts";

/** Tokens to pieces of text, which joined are the text (`decode_chain` of the Rust library). */
export type Decoder = (tokens: readonly string[]) => readonly string[];

type Json<Name extends DecoderJson["type"]> = Extract<DecoderJson, { readonly type: Name }>;

const DECODERS: Makers<DecoderJson, Decoder> = {
  BPEDecoder: bpe,
  ByteFallback: () => byteFallback,
  ByteLevel: () => (tokens) => [fromByteLevel(tokens)],
  CTC: ctc,
  Fuse: () => (tokens) => [tokens.join("")],
  Metaspace: metaspace,
  Replace: replace,
  Sequence: (json, path) => {
    const decoders = flat(json, path);
    return (tokens) =>
      decoders.reduce((pieces, [decoder, at]) => {
        const decoded = decoder(pieces);
        checkGrowth(totalLength(tokens), totalLength(decoded), at);
        return decoded;
      }, tokens);
  },
  Strip: strip,
  WordPiece: wordPiece,
};

/** A decoder as its JSON describes it. */
export function makeDecoder(json: DecoderJson, path: string): Decoder {
  return make(DECODERS, json, path);
}

/** The decoders of a sequence and of those in it, with their places. */
function flat(json: DecoderJson, path: string): [Decoder, string][] {
  if (json.type !== "Sequence") return [[makeDecoder(json, path), path]];
  return json.decoders.flatMap((part, i) => flat(part, `${path}.decoders[${i}]`));
}

/** Without a decoder tokens are written with spaces between them. */
export const spaced: Decoder = (tokens) => [tokens.join(" ")];

/** The suffix of a word's last token becomes a space. */
function bpe({ suffix }: Json<"BPEDecoder">, path: string): Decoder {
  if (suffix === "") unsupported(path, "an empty suffix");
  return (tokens) => tokens.map((token, i) => token.replaceAll(suffix, i === tokens.length - 1 ? "" : " "));
}

/** Runs of byte tokens become the text that they encode. */
function byteFallback(tokens: readonly string[]): string[] {
  const pieces: string[] = [];
  let run: number[] = [];
  const endRun = () => {
    if (run.length > 0) pieces.push(decodeBytes(run));
    run = [];
  };
  for (const token of tokens) {
    const byte = tokenByte(token);
    if (byte !== undefined) run.push(byte);
    else {
      endRun();
      pieces.push(token);
    }
  }
  endRun();
  return pieces;
}

/** A first token loses all its "▁", or none under the scheme "never". */
function metaspace({ replacement, prepend_scheme: scheme }: Json<"Metaspace">): Decoder {
  return (tokens) =>
    tokens.map((token, i) => token.replaceAll(replacement, i === 0 && scheme !== "never" ? "" : " "));
}

function replace({ pattern: source, content }: Json<"Replace">, path: string): Decoder {
  const pattern = readPattern(source, path);
  return (tokens) => tokens.map((token) => replaceSpans(token, pattern(token), content, path));
}

/** Takes up to `start` and `stop` times the character off both ends of every token. */
function strip({ content, start, stop }: Json<"Strip">): Decoder {
  return (tokens) =>
    tokens.map((token) => {
      let [first, last] = [0, token.length];
      for (let i = 0; i < start && token.startsWith(content, first); i++) first += content.length;
      // Where one character would be taken from both ends the Rust library panics; here it is gone.
      for (let i = 0; i < stop && last > first && token.endsWith(content, last); i++) last -= content.length;
      return token.slice(first, last);
    });
}

function wordPiece({ prefix, cleanup }: Json<"WordPiece">): Decoder {
  return (tokens) =>
    tokens.map((token, i) => {
      const continues = i === 0 || token.startsWith(prefix);
      const text = i > 0 && continues ? token.slice(prefix.length) : continues ? token : ` ${token}`;
      return cleanup ? cleanUp(text) : text;
    });
}

/** English as it is written: no space before a mark or a contraction. In the order of the Rust library. */
const CLEAN_UP: readonly (readonly [from: string, to: string])[] = [
  ...([" .", " ?", " !", " ,"] as const).map((from) => [from, from.slice(1)] as const),
  [" ' ", "'"],
  ...([" n't", " 'm"] as const).map((from) => [from, from.slice(1)] as const),
  [" do not", " don't"],
  ...([" 's", " 've", " 're"] as const).map((from) => [from, from.slice(1)] as const),
];

function cleanUp(text: string): string {
  return CLEAN_UP.reduce((clean, [from, to]) => clean.replaceAll(from, to), text);
}

/** Connectionist temporal classification (speech): repeated tokens are one, and padding separates. */
function ctc(
  { pad_token: pad, word_delimiter_token: delimiter, cleanup }: Json<"CTC">,
  path: string,
): Decoder {
  if (delimiter === "") unsupported(path, "an empty word_delimiter_token");
  return (tokens) =>
    tokens
      .filter((token, i) => i === 0 || token !== tokens[i - 1])
      .map((token) => {
        const text = token.replaceAll(pad, "");
        return cleanup ? cleanUp(text).replaceAll(delimiter, " ") : text;
      })
      .filter((text) => text !== "");
}
