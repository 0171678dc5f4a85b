import { isObject } from "../../../util/json.ts";
import { shown } from "../../../util/shown.ts";
import { INVALID, isWhole, numberIn, type Place, pair, type Shape, string } from "../../json/shape.ts";
import { HIGHEST_ID, u32 } from "./fields.ts";

/** Characters of a token: texts are searched for the longest one that they go on with. */
const LONGEST = 10_000;

function tooLong(token: string, at: Place): void {
  at.invalid(`has a token of ${token.length} characters; one may have ${LONGEST}`);
}

/** Token → id. */
export type VocabularyJson = { readonly [token: string]: number };

/**
 * Each id belongs to one token: Rust takes two, and which of them an id decodes to is left to chance.
 * Places are made for problems only: a vocabulary has 250 000 entries.
 */
export const vocabulary: Shape<VocabularyJson> = (value, at) => {
  if (!isObject(value)) return at.expected("an object of token → id", value);
  const before = at.problems.length;
  const tokens = new Map<number, string>();
  for (const token of Object.keys(value)) {
    const id = value[token];
    if (token.length > LONGEST) tooLong(token, at);
    if (!isWhole(id, HIGHEST_ID)) u32(id, at.at(token));
    else if (!tokens.has(id)) tokens.set(id, token);
    else at.at(token).invalid(`is ${id}, which is the id of ${shown(tokens.get(id))} as well`);
  }
  return at.problems.length > before ? INVALID : (value as VocabularyJson);
};

/**
 * A token and its score, a log probability. Its id is its place in the list. One may be there twice, as Rust's own
 * trainer writes "<unk>" where the texts hold it: the last one counts.
 */
export type ScoredToken = readonly [token: string, score: number];

const scoredToken: Shape<ScoredToken> = pair(string, numberIn());

export const scoredVocabulary: Shape<readonly ScoredToken[]> = (value, at) => {
  if (!Array.isArray(value)) return at.expected("a list of [token, score]", value);
  const before = at.problems.length;
  for (const [id, item] of value.entries()) {
    const token = scoredToken(item, at.at(id));
    if (token !== INVALID && token[0].length > LONGEST) tooLong(token[0], at);
  }
  return at.problems.length > before ? INVALID : value;
};

/** Two tokens that BPE joins. Where a pair is listed twice, the later place counts. */
export type Merge = readonly [left: string, right: string];

/** `["a", "b"]`, or in files from before tokenizers 0.20 `"a b"`, among which lines such as `#version: 0.2` are skipped. */
export const merges: Shape<readonly Merge[]> = (value, at) => {
  if (!Array.isArray(value)) return at.expected("a list of pairs of tokens", value);
  const before = at.problems.length;
  const lines = value.every((merge) => typeof merge === "string");
  const wanted = lines ? "two tokens with one space between them" : "a list of two tokens";
  const read = value.flatMap((merge, i): (Merge | typeof INVALID)[] => {
    if (lines && merge.startsWith("#version")) return [];
    const pieces: unknown = lines ? merge.split(" ") : merge;
    return isMerge(pieces) ? [pieces] : [at.at(i).expected(wanted, merge)];
  });
  return at.problems.length > before ? INVALID : (read as readonly Merge[]);
};

function isMerge(value: unknown): value is Merge {
  if (!Array.isArray(value) || value.length !== 2) return false;
  return typeof value[0] === "string" && typeof value[1] === "string";
}

/** Tells of merges whose tokens, or whose result, the vocabulary lacks. */
export function checkMerges(list: readonly Merge[], vocab: VocabularyJson, prefix: string, at: Place): void {
  const tokens = new Set(Object.keys(vocab));
  for (const [i, merge] of list.entries()) {
    const [left, right] = merge;
    const rest = withoutPrefix(right, prefix);
    if (rest === undefined)
      at.at(i).invalid(
        `is ${shown(merge)}, but continuing_subword_prefix ${shown(prefix)} is longer than ${shown(right)}`,
      );
    else if (!tokens.has(left) || !tokens.has(right) || !tokens.has(left + rest)) {
      const missing = [left, right, left + rest].find((token) => !tokens.has(token));
      at.at(i).invalid(`is ${shown(merge)}, but the vocabulary has no ${shown(missing)}`);
    }
  }
}

/**
 * What the right token of a merge adds to the left one. Rust drops as many bytes as `continuing_subword_prefix` has,
 * whatever they are.
 * @returns undefined where there are fewer bytes, or a character would be cut
 */
function withoutPrefix(token: string, prefix: string): string | undefined {
  if (token.startsWith(prefix)) return token.slice(prefix.length);
  const encoder = new TextEncoder();
  const bytes = encoder.encode(token);
  const dropped = encoder.encode(prefix).length;
  if (bytes.length < dropped) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes.subarray(dropped));
  } catch {
    return undefined;
  }
}
