import { fail } from "../../util/fail.ts";
import { isObject } from "../../util/json.ts";
import type { AddedTokenJson } from "./schema/added-tokens.ts";

/** A token as a file names it: its text, and how it is found in a text. */
export type NamedToken = Omit<AddedTokenJson, "id">;

const FLAGS = ["single_word", "lstrip", "rstrip", "normalized", "special"] as const;

/**
 * A token that a file names by its text alone, or by an object around it.
 * @param place the file and the field, for errors
 * @param special what the token is where it doesn't say so itself
 * @returns undefined for null, a missing one and an empty text, which name none
 */
export function readToken(
  value: unknown,
  place: readonly [file: string, field: string],
  special: boolean,
): NamedToken | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  const object = typeof value === "string" ? { content: value } : value;
  const valid =
    isObject(object) &&
    typeof object.content === "string" &&
    FLAGS.every((flag) => ["boolean", "undefined"].includes(typeof (object[flag] ?? undefined)));
  if (!valid) {
    const help = `expected a token's text, or an object of content, ${FLAGS.join(", ")}`;
    fail(place[0], `${place[1]} is ${JSON.stringify(value)}`, help);
  }
  const { content, single_word, lstrip, rstrip, normalized, special: given } = object as Partial<NamedToken>;
  if (content === undefined || content === "") return undefined;
  const isSpecial = given ?? special;
  return {
    content,
    single_word: single_word ?? false,
    lstrip: lstrip ?? false,
    rstrip: rstrip ?? false,
    normalized: normalized ?? !isSpecial,
    special: isSpecial,
  };
}

/** The tokens of a model. */
export interface Vocabulary {
  readonly idOf: (token: string) => number | undefined;
  readonly size: number;
  /** The ids that it has; those of a model may leave numbers out. */
  readonly ids: () => ReadonlySet<number>;
}

/**
 * Adds tokens as `add_tokens` of the Rust library does: one that is there takes the new flags, one of the vocabulary
 * keeps its id, any other gets the next one. What was special once is left out of decoded text for good.
 * @throws LoraError where the next id is another token's: Rust would give it twice
 */
export function addTokens(
  present: readonly AddedTokenJson[],
  tokens: readonly NamedToken[],
  { idOf, size, ids }: Vocabulary,
): readonly AddedTokenJson[] {
  if (tokens.length === 0) return present;
  const added = new Map(present.map((token) => [token.content, token]));
  let highest = present.reduce((most, { id }) => Math.max(most, id), -1);
  for (const token of tokens) {
    const old = added.get(token.content);
    const own = old?.id ?? idOf(token.content);
    const id = own ?? Math.max(highest + 1, size);
    if (own === undefined && ids().has(id)) {
      const help = "add it to the vocabulary, with an id that no other token has";
      fail(
        "tokenizer",
        `${JSON.stringify(token.content)} is not in the vocabulary, whose ids leave gaps`,
        help,
      );
    }
    highest = Math.max(highest, id);
    added.set(token.content, { ...token, id, special: token.special || (old?.special ?? false) });
  }
  return [...added.values()].sort((a, b) => a.id - b.id);
}

/** Whether two tokens are found in a text in the same way. */
export function sameToken(a: NamedToken, b: NamedToken): boolean {
  return a.content === b.content && FLAGS.every((flag) => a[flag] === b[flag]);
}
