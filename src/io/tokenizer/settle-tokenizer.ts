import { fail } from "../../util/fail.ts";
import { isObject, type JsonObject } from "../../util/json.ts";
import { addTokens, type NamedToken, sameToken } from "./added-tokens.ts";
import type { AddedTokenJson } from "./schema/added-tokens.ts";
import { type ModelJson, vocabularyLookup } from "./schema/models.ts";
import type { PostProcessorJson } from "./schema/post-processors.ts";
import type { PreTokenizerJson } from "./schema/pre-tokenizers.ts";
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
  const { traits } = tokenizerClass(config, modelConfig);
  const settings = readTokenSettings(files);
  const isBuilt = source.madeOf !== undefined;
  const present = traits.rebuilds && settings.isWhole ? [] : json.added_tokens;
  const listed = listedTokens(settings, json.added_tokens);
  const known = tokenFinder(json.model, [...present, ...listed.values()]);
  const roles = allRoles(
    settings,
    { ...(source.padding && { pad_token: source.padding }), ...traits.roles },
    known,
  );
  const added = addTokens(
    present,
    newTokens(present, [...listed.values()], roles, settings.extra),
    json.model,
  );
  checkIds(settings, listed, added, isBuilt ? () => false : tokenFinder(json.model, present));
  const names = Object.fromEntries([...roles].map(([role, { content }]) => [role, content]));
  const adapted = isBuilt ? json : adapt(json, traits, config, names);
  const post_processor = frame(adapted, traits, {
    config,
    names,
    added,
    madeOf: source.madeOf,
    isKnown: known,
  });
  return { json: { ...adapted, added_tokens: added, post_processor }, roles: names };
}

/** The tokens that the configs list beside those of tokenizer.json, by id, which the latter's win over. */
function listedTokens(
  { added, isWhole }: TokenSettings,
  own: readonly AddedTokenJson[],
): Map<number, NamedToken> {
  const taken = new Set(isWhole ? [] : own.map(({ id }) => id));
  return new Map([...added].filter(([id]) => !taken.has(id)).sort(([a], [b]) => a - b));
}

function tokenFinder(model: ModelJson, tokens: readonly NamedToken[]): (token: string) => boolean {
  const added = new Set(tokens.map(({ content }) => content));
  const idOf = vocabularyLookup(model);
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
): NamedToken[] {
  const named = new Set([...roles.values()].map(({ content }) => content));
  const changed = listed
    .filter((token) => !present.some((old) => sameToken(old, token)))
    .map((token) => ({ ...token, special: token.special || named.has(token.content) }));
  const seen = new Set([...present, ...changed].map(({ content }) => content));
  return [...changed, ...[...roles.values(), ...extra].filter(({ content }) => !seen.has(content))];
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

/** What the class changes in the way in which tokenizer.json splits text. */
function adapt(
  json: TokenizerJson,
  traits: TokenizerClass,
  config: JsonObject,
  roles: RoleNames,
): TokenizerJson {
  const { model } = json;
  if (traits.overrides === "all" && traits.parts && model.type === "WordPiece") {
    const [prefix, longest] = [{ continuing_subword_prefix: "##" }, { max_input_chars_per_word: 100 }];
    return {
      ...json,
      ...traits.parts(config),
      model: { ...model, unk_token: roles.unk_token ?? model.unk_token, ...prefix, ...longest },
    };
  }
  if (traits.overrides !== "add_prefix_space") return json;
  if (traits.vocabulary === "BPE") {
    const prefix = config.add_prefix_space === true;
    return { ...json, pre_tokenizer: json.pre_tokenizer && withPrefixSpace(json.pre_tokenizer, prefix) };
  }
  const stated = config.add_prefix_space;
  const isOther = typeof stated === "boolean" && stated !== putsSpaceBefore(json);
  return isOther && model.type === "BPE" && model.byte_fallback
    ? { ...json, ...traits.parts?.(config) }
    : json;
}

function withPrefixSpace(part: PreTokenizerJson, add_prefix_space: boolean): PreTokenizerJson {
  if (part.type === "ByteLevel") return { ...part, add_prefix_space };
  if (part.type !== "Sequence") return part;
  return {
    ...part,
    pretokenizers: part.pretokenizers.map((inner) => withPrefixSpace(inner, add_prefix_space)),
  };
}

/** Whether a SentencePiece tokenizer begins a text with a space that isn't there. */
function putsSpaceBefore({ normalizer, pre_tokenizer }: TokenizerJson): boolean {
  const holds = (part: unknown, test: (part: JsonObject) => boolean): boolean =>
    Array.isArray(part)
      ? part.some((inner) => holds(inner, test))
      : isObject(part) && (test(part) || Object.values(part).some((inner) => holds(inner, test)));
  return (
    holds(normalizer, ({ type }) => type === "Prepend") ||
    holds(pre_tokenizer, ({ type, prepend_scheme }) => type === "Metaspace" && prepend_scheme !== "never")
  );
}

interface FrameParts {
  readonly config: JsonObject;
  readonly names: RoleNames;
  readonly added: readonly AddedTokenJson[];
  readonly madeOf: string | undefined;
  /** Whether the vocabulary has a token, or a file gives it an id. */
  readonly isKnown: (token: string) => boolean;
}

/** What stands around a text: what the class says, `add_bos_token` and `add_eos_token`, or tokenizer.json. */
function frame(json: TokenizerJson, traits: TokenizerClass, parts: FrameParts): PostProcessorJson | null {
  const { config, names, added, madeOf, isKnown } = parts;
  const find = (role: string) => added.find(({ content }) => content === names[role]);
  if (traits.frame === "BERT" || traits.frame === "RoBERTa") {
    const [cls, sep] = [find("cls_token"), find("sep_token")];
    if (madeOf !== undefined) checkFrame(madeOf, [cls, sep], isKnown);
    if (cls && sep) return traits.frame === "BERT" ? bertFrame(cls, sep) : robertaFrame(cls, sep);
  }
  if (madeOf === undefined) return traits.frame === "none" ? null : json.post_processor;
  const before = config.add_bos_token === true ? find("bos_token") : undefined;
  const after = config.add_eos_token === true ? find("eos_token") : undefined;
  return beginAndEnd(before ? [before] : [], after ? [after] : []);
}

function checkFrame(
  file: string,
  tokens: readonly (AddedTokenJson | undefined)[],
  isKnown: FrameParts["isKnown"],
): void {
  if (tokens.includes(undefined))
    fail(file, "has texts between cls_token and sep_token, one of which is named null");
  const lacking = tokens.flatMap((token) => (token && !isKnown(token.content) ? [token.content] : []));
  if (lacking.length > 0) fail(file, `lacks the special tokens ${lacking.join(", ")}`);
}

function piece(type_id: number) {
  return {
    token: ({ content }: AddedTokenJson) => ({ SpecialToken: { id: content, type_id } }),
    text: (id: "A" | "B") => ({ Sequence: { id, type_id } }),
  };
}

function template(
  single: Template["single"],
  pair: Template["pair"],
  tokens: readonly AddedTokenJson[],
): PostProcessorJson {
  const special_tokens = Object.fromEntries(
    tokens.map(({ content, id }) => [content, { id: content, ids: [id], tokens: [content] }]),
  );
  return { type: "TemplateProcessing", single, pair, special_tokens };
}

type Template = Extract<PostProcessorJson, { type: "TemplateProcessing" }>;

/** `[CLS] A [SEP]`, and of a pair `[CLS] A [SEP] B [SEP]`. */
function bertFrame(cls: AddedTokenJson, sep: AddedTokenJson): PostProcessorJson {
  const [first, second] = [piece(0), piece(1)];
  const single = [first.token(cls), first.text("A"), first.token(sep)];
  return template(single, [...single, second.text("B"), second.token(sep)], [cls, sep]);
}

/** `<s> A </s>`, and of a pair `<s> A </s></s> B </s>`. */
function robertaFrame(cls: AddedTokenJson, sep: AddedTokenJson): PostProcessorJson {
  return {
    type: "RobertaProcessing",
    cls: [cls.content, cls.id],
    sep: [sep.content, sep.id],
    trim_offsets: true,
    add_prefix_space: false,
  };
}

/** The tokens for beginning and end around each text. */
function beginAndEnd(
  before: readonly AddedTokenJson[],
  after: readonly AddedTokenJson[],
): PostProcessorJson | null {
  if (before.length + after.length === 0) return null;
  const framed = (id: "A" | "B", type_id: number) => {
    const { token, text } = piece(type_id);
    return [...before.map(token), text(id), ...after.map(token)];
  };
  return template(framed("A", 0), [...framed("A", 0), ...framed("B", 1)], [...before, ...after]);
}
