import { fail } from "../../util/fail.ts";
import { addTokens, type NamedToken, sameToken, type Vocabulary } from "./added-tokens.ts";
import { obeyClass } from "./class-overrides.ts";
import { frameOf } from "./frames.ts";
import type { AddedTokenJson } from "./schema/added-tokens.ts";
import { type ModelJson, vocabularyLookup } from "./schema/models.ts";
import type { TokenizerJson } from "./schema/schema.ts";
import type { RoleNames } from "./special-tokens.ts";
import { ROLES, readTokenSettings, type TokenFiles, type TokenSettings } from "./token-settings.ts";
import { type TokenizerClass, tokenizerClass } from "./tokenizer-classes.ts";

/** A tokenizer as all files of its folder together describe it. */
export interface SettledTokenizer {
  readonly json: TokenizerJson;
  readonly roles: RoleNames;
}

/** Where a tokenizer's vocabulary comes from. */
export interface VocabularySource {
  /** The file that the tokenizer was made of, where it isn't tokenizer.json. */
  readonly madeOf?: string;
  /** The token of the file's `padding`. */
  readonly padding?: string;
}

/**
 * Joins a tokenizer with what the files beside it say, as `AutoTokenizer` of transformers 5.18 does: which tokens are
 * added with which flags, which has which role, and what stands around texts. How text is split is tokenizer.json's
 * affair, but for the settings of `tokenizer_config.json` that the class of tokenizer obeys (`do_lower_case`,
 * `add_prefix_space`). A token that is named and that the vocabulary lacks gets the next id.
 * @throws LoraError for settings that are not what they should be, or that contradict each other
 */
export function settleTokenizer(
  json: TokenizerJson,
  files: TokenFiles,
  source: VocabularySource = {},
): SettledTokenizer {
  const { config = {}, modelConfig = {} } = files;
  const { madeOf, padding } = source;
  const { traits } = tokenizerClass(config, modelConfig);
  const settings = readTokenSettings(files);
  const vocabulary = readVocabulary(json.model);
  const present = traits.rebuilds && settings.isWhole ? [] : json.added_tokens;
  const listed = listedTokens(settings, json.added_tokens);
  const isKnown = tokenFinder(vocabulary, [...present, ...listed.values()]);
  const roles = allRoles(settings, { ...(padding && { pad_token: padding }), ...traits.roles }, isKnown);
  const added = addTokens(
    present,
    newTokens(present, [...listed.values()], roles, settings.extra, traits),
    vocabulary,
  );
  checkIds(settings, listed, added, madeOf === undefined ? tokenFinder(vocabulary, present) : () => false);
  const names = roleNames(settings, roles);
  const adapted = madeOf === undefined ? obeyClass(json, traits, config, names) : json;
  const isMeant = (token: string) => isKnown(token) || namesToken(settings, token);
  const post_processor = frameOf(adapted, traits, { config, names, added, madeOf, isMeant });
  return { json: { ...adapted, added_tokens: added, post_processor }, roles: names };
}

function namesToken({ roles }: TokenSettings, token: string): boolean {
  return [...roles.values()].some(({ content }) => content === token);
}

/** An EOS that a file denies may be of the model's files all the same: every text has to end. */
function roleNames({ without }: TokenSettings, roles: ReadonlyMap<string, NamedToken>): RoleNames {
  const denied = [...without].filter((role) => role !== "eos_token").map((role) => [role, null] as const);
  const named = [...roles].map(([role, { content }]) => [role, content] as const);
  return Object.fromEntries([...denied, ...named]);
}

/** The tokens that the configs list beside those of tokenizer.json, by id, which the latter's win over. */
function listedTokens(
  { added, isWhole }: TokenSettings,
  own: readonly AddedTokenJson[],
): Map<number, NamedToken> {
  const taken = new Set(isWhole ? [] : own.map(({ id }) => id));
  return new Map([...added].filter(([id]) => !taken.has(id)).sort(([a], [b]) => a - b));
}

function readVocabulary(model: ModelJson): Vocabulary {
  const size = Object.keys(model.vocab).length;
  let known: ReadonlySet<number> | undefined;
  const ids = () => {
    known ??= new Set(model.type === "Unigram" ? [] : Object.values(model.vocab));
    return known;
  };
  return { idOf: vocabularyLookup(model), size, ids };
}

function tokenFinder({ idOf }: Vocabulary, tokens: readonly NamedToken[]): (token: string) => boolean {
  const added = new Set(tokens.map(({ content }) => content));
  return (token) => added.has(token) || idOf(token) !== undefined;
}

/**
 * The roles that files name, and for others what the class has. Where a vocabulary lacks the class's BOS or EOS it has
 * another, which the model's files may name; transformers adds the class's, for which no model has a row.
 */
function allRoles(
  { roles, without }: TokenSettings,
  defaults: TokenizerClass["roles"],
  isKnown: (token: string) => boolean,
): Map<string, NamedToken> {
  const all = new Map<string, NamedToken>();
  for (const role of [...ROLES, ...roles.keys()]) {
    const content = without.has(role) ? null : (defaults[role] ?? null);
    const named = roles.get(role);
    if (named) all.set(role, named);
    else if (content !== null && (isKnown(content) || !OF_THE_MODEL.includes(role))) {
      all.set(role, specialToken(content));
    }
  }
  return all;
}

/** Roles for which `config.json` and `generation_config.json` have ids. */
const OF_THE_MODEL = ["bos_token", "eos_token"];

function specialToken(content: string): NamedToken {
  return { content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
}

/** What is added: listed tokens that are new or changed, then those with a role, then the others. */
function newTokens(
  present: readonly AddedTokenJson[],
  listed: readonly NamedToken[],
  roles: ReadonlyMap<string, NamedToken>,
  extra: readonly NamedToken[],
  traits: TokenizerClass,
): NamedToken[] {
  const named = new Set([...roles.values()].map(({ content }) => content));
  const before = new Map(present.map((token) => [token.content, token]));
  const isSame = (token: NamedToken) => {
    const old = before.get(token.content);
    return old !== undefined && sameToken(old, token);
  };
  const changed = listed
    .filter((token) => !isSame(token))
    .map((token) => ({ ...token, special: token.special || named.has(token.content) }));
  const seen = new Set([...present, ...changed].map(({ content }) => content));
  const special = [...roles.values(), ...extra];
  const plain = traits.plain ? special.map(({ content }) => specialToken(content)) : [];
  return [...changed, ...special.filter(({ content }) => !seen.has(content)), ...plain];
}

/** Ids that the configs give to tokens of which the vocabulary knows nothing, and that Rust would not give. */
function checkIds(
  { isWhole }: TokenSettings,
  listed: ReadonlyMap<number, NamedToken>,
  added: readonly AddedTokenJson[],
  isKnown: (token: string) => boolean,
): void {
  const ids = new Map(added.map(({ content, id }) => [content, id]));
  for (const [id, { content }] of listed) {
    const given = ids.get(content);
    if (given === id || isKnown(content)) continue;
    const got = `${JSON.stringify(content)} has the id ${id}, but tokenizers gives it ${given}`;
    fail(
      isWhole ? "tokenizer_config.json, added_tokens_decoder" : "added_tokens.json",
      got,
      "list a token for each id between, so that no number is left out",
    );
  }
}
