import { append } from "../../util/arrays.ts";
import { fail, LoraError } from "../../util/fail.ts";
import { isObject, type JsonObject } from "../../util/json.ts";
import { type NamedToken, readToken } from "./added-tokens.ts";
import { SAVE_IT } from "./remedy.ts";
import { MOST_ADDED } from "./schema/added-tokens.ts";

/** The parsed files beside the vocabulary that say which tokens there are and what they are for. */
export interface TokenFiles {
  /** `tokenizer_config.json`. */
  readonly config?: JsonObject;
  /** `special_tokens_map.json`. */
  readonly specialTokensMap?: JsonObject;
  /** `added_tokens.json`: text → id. */
  readonly addedTokens?: JsonObject;
  /** `config.json`, for the class of tokenizer. */
  readonly modelConfig?: JsonObject;
}

/** What {@link TokenFiles} say of tokens. */
export interface TokenSettings {
  /** By role, such as `eos_token`; also roles of the model's own, such as `image_token`. */
  readonly roles: ReadonlyMap<string, NamedToken>;
  /** Roles for which a file says that there is no such token. */
  readonly without: ReadonlySet<string>;
  /** Special tokens without a role. */
  readonly extra: readonly NamedToken[];
  /** Added tokens by id. */
  readonly added: ReadonlyMap<number, NamedToken>;
  /** Whether `added` is the whole list (`added_tokens_decoder`). */
  readonly isWhole: boolean;
}

const CONFIG = "tokenizer_config.json";
const MAP = "special_tokens_map.json";
const ADDED = "added_tokens.json";

/** The roles that every tokenizer has, in the order in which tokens that the vocabulary lacks get ids. */
export const ROLES: readonly string[] = [
  ...["bos_token", "eos_token", "unk_token", "sep_token"],
  ...["pad_token", "cls_token", "mask_token"],
];

/**
 * Reads the files in the order of transformers 5.18 (`PreTrainedTokenizerBase._from_pretrained`): where
 * `tokenizer_config.json` has `added_tokens_decoder`, it alone counts; else `special_tokens_map.json` wins over it,
 * field by field, and `added_tokens.json` adds tokens.
 * @throws LoraError for a token that is neither a text nor an object with one
 */
export function readTokenSettings({ config = {}, specialTokensMap, addedTokens }: TokenFiles): TokenSettings {
  if (config.split_special_tokens === true) {
    const help = "set it to false: special tokens in a text then count as such";
    throw new LoraError("unsupported", CONFIG, "split_special_tokens true is not supported", help);
  }
  const isWhole = isObject(config.added_tokens_decoder);
  const map = (isWhole ? undefined : specialTokensMap) ?? {};
  const roles = new Map<string, NamedToken>();
  const without = new Set<string>();
  const name = (key: string, value: unknown, file: string) => {
    const token = readToken(value, [file, key], true);
    // A role makes a token special, whatever its object says.
    if (token) roles.set(key, { ...token, special: true });
    else without.add(key);
  };
  for (const role of ROLES) {
    if (Object.hasOwn(map, role)) name(role, map[role], MAP);
    else if (Object.hasOwn(config, role)) name(role, config[role], CONFIG);
  }
  const extra = extraTokens(config, map);
  for (const [key, value] of [...ownRoles(map), ...ownRoles(config), ...extra.named]) {
    name(key, value, CONFIG);
  }
  const tokens = extra.tokens.flatMap((value) => readToken(value, [CONFIG, extra.field], true) ?? []);
  const special = new Set([...roles.values(), ...tokens].map(({ content }) => content));
  const added = isWhole
    ? readDecoder(config.added_tokens_decoder as JsonObject)
    : readAddedTokens(addedTokens ?? {}, special);
  return { roles, without, extra: tokens, added, isWhole };
}

/** Roles that other tokenizers don't have: any text under a key that ends so. */
function ownRoles(settings: JsonObject): (readonly [string, unknown])[] {
  return Object.entries(settings).filter(
    ([key, value]) =>
      key.endsWith("_token") &&
      !ROLES.includes(key) &&
      (typeof value === "string" || (isObject(value) && typeof value.content === "string")),
  );
}

/** `extra_special_tokens`, a list or tokens by role, or the list under its name before transformers 5. */
function extraTokens(config: JsonObject, map: JsonObject) {
  const field = isFilled(config.extra_special_tokens) ? "extra_special_tokens" : "additional_special_tokens";
  const own = config[field];
  const more = map.extra_special_tokens;
  // Tokens by role leave the list's place free for one under the old name.
  const isFree = (own === undefined || isObject(own)) && !Array.isArray(more);
  const old = isFree ? (map.additional_special_tokens ?? config.additional_special_tokens) : undefined;
  const tokens: unknown[] = [];
  const named: [role: string, token: unknown][] = [];
  for (const given of [own, more, old]) {
    if (Array.isArray(given)) append(tokens, given);
    else if (isObject(given)) append(named, Object.entries(given));
    else if (isFilled(given)) {
      fail(
        CONFIG,
        `${field} is ${JSON.stringify(given)}, expected a list of tokens, or tokens by role`,
        SAVE_IT,
      );
    }
  }
  return { field, tokens, named };
}

function isFilled(value: unknown): boolean {
  return Array.isArray(value)
    ? value.length > 0
    : isObject(value)
      ? Object.keys(value).length > 0
      : Boolean(value);
}

/** The entries of a list of added tokens. @throws LoraError where they are more than any tokenizer has */
function entriesOf(listed: JsonObject, file: string): [string, unknown][] {
  const { length } = Object.keys(listed);
  if (length > MOST_ADDED) fail(file, `lists ${length} added tokens; there may be ${MOST_ADDED}`, SAVE_IT);
  return Object.entries(listed);
}

function readDecoder(listed: JsonObject): Map<number, NamedToken> {
  const tokens = new Map<number, NamedToken>();
  for (const [id, value] of entriesOf(listed, CONFIG)) {
    const field = `added_tokens_decoder.${id}`;
    if (!/^\d+$/.test(id) || !isObject(value)) {
      fail(CONFIG, `${field} is ${JSON.stringify(value)}, expected a token's object under its id`, SAVE_IT);
    }
    const token = readToken(value, [CONFIG, field], false);
    if (token) tokens.set(Number(id), token);
  }
  return tokens;
}

function readAddedTokens(ids: JsonObject, special: ReadonlySet<string>): Map<number, NamedToken> {
  const tokens = new Map<number, NamedToken>();
  for (const [content, id] of entriesOf(ids, ADDED)) {
    if (!Number.isInteger(id) || (id as number) < 0) {
      fail(ADDED, `${JSON.stringify(content)} is ${JSON.stringify(id)}, expected its id`, SAVE_IT);
    }
    const other = tokens.get(id as number);
    if (other)
      fail(
        ADDED,
        `${JSON.stringify(content)} has the id ${id}, as has ${JSON.stringify(other.content)}`,
        SAVE_IT,
      );
    const token = readToken(content, [ADDED, content], special.has(content));
    if (token) tokens.set(id as number, token);
  }
  return tokens;
}
