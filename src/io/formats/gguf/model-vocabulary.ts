import type { Problems } from "../../../util/fail.ts";
import type { JsonObject } from "../../../util/json.ts";
import { shown } from "../../../util/shown.ts";
import type { MetadataReader } from "./metadata-reader.ts";
import { mergesOfScores } from "./piece-merges.ts";
import { PRE_TOKENIZERS, preTokenizerOf } from "./splitting.ts";
import { TOKEN_TYPES } from "./vocabulary.ts";

/** What stands beside the weights of a model that has a tokenizer, as transformers' files have it. */
export interface VocabularyFiles {
  readonly tokenizer: JsonObject;
  readonly tokenizerConfig: JsonObject;
  readonly generationConfig: JsonObject;
}

/** A token that the file lists. */
interface Listed {
  readonly text: string;
  readonly type: number;
  readonly score: number;
}

const key = (name: string) => `tokenizer.ggml.${name}`;

/**
 * The tokenizer of a model, out of the keys `tokenizer.*` that llama.cpp reads (`llama-vocab.cpp`).
 * @param name the model's: llama.cpp tells by it the tokens of Phi-3 that take the blanks behind them
 * @returns undefined where the file has none
 */
export function vocabularyOfGguf(
  metadata: MetadataReader,
  { name, problems }: { name: string; problems: Problems },
): VocabularyFiles | undefined {
  const model = metadata.text(key("model"), "none");
  if (model === "none" || model === "no_vocab") return undefined;
  ignoreOthers(metadata);
  const tokens = listedTokens(metadata, problems);
  const readers: Readonly<Record<string, typeof bytePairs>> = { gpt2: bytePairs, llama: pieces };
  const read = Object.hasOwn(readers, model) ? readers[model] : undefined;
  if (!read) {
    problems.push(`${key("model")} is ${shown(model)}; read are ${Object.keys(readers).join(" and ")}`);
    return undefined;
  }
  const { begins, ...parts } = read(metadata, tokens, problems);
  const roles = specialRoles(metadata, tokens, problems);
  const frame = {
    begin: metadata.flag(key("add_bos_token"), begins) ? roles.bos : undefined,
    end: metadata.flag(key("add_eos_token"), false) ? roles.eos : undefined,
  };
  const templates = chatTemplates(metadata);
  const ends = stopIds(metadata, roles.eos, tokens);
  metadata.refuseUnread("tokenizer.");
  return {
    tokenizer: {
      version: "1.0",
      added_tokens: addedTokens(tokens, /phi-?3/i.test(name)),
      ...parts,
      post_processor: postProcessor(frame, tokens),
    },
    tokenizerConfig: {
      tokenizer_class: "PreTrainedTokenizerFast",
      ...Object.fromEntries(
        Object.entries(roles).map(([role, id]) => [`${role}_token`, tokens[id]?.text ?? null]),
      ),
      ...(templates !== undefined && { chat_template: templates }),
    },
    generationConfig: { eos_token_id: ends },
  };
}

/** What concerns tasks other than continuing texts, and what is told otherwise already. */
function ignoreOthers(metadata: MetadataReader): void {
  const roles = ["seperator", "cls", "mask", "prefix", "suffix", "middle"];
  const gaps = ["pre", "suf", "mid", "pad", "rep", "sep"].map((part) => `fim_${part}`);
  metadata.ignore(...[...roles, ...gaps].map((role) => key(`${role}_token_id`)));
  metadata.ignore(key("token_type_count"), key("remove_extra_whitespaces"), "tokenizer.huggingface.json");
  metadata.only(key("add_sep_token"), false);
}

function listedTokens(metadata: MetadataReader, problems: Problems): readonly Listed[] {
  const texts = metadata.texts(key("tokens")) ?? [];
  const types = metadata.numbers(key("token_type"));
  const scores = metadata.numbers(key("scores"));
  if (texts.length === 0) problems.push(`${key("tokens")} lists no tokens`);
  for (const [name, list] of Object.entries({ token_type: types, scores }))
    if (list && list.length < texts.length)
      problems.push(`${key(name)} has ${list.length} entries for ${texts.length} tokens`);
  const ids = new Map<string, number>();
  for (const [id, text] of texts.entries()) {
    const other = ids.get(text);
    if (other !== undefined) problems.push(() => `the tokens ${other} and ${id} are both ${shown(text)}`);
    ids.set(text, id);
  }
  return texts.map((text, id) => ({
    text,
    type: types?.[id] ?? TOKEN_TYPES.normal,
    score: scores?.[id] ?? 0,
  }));
}

/** The parts of a `tokenizer.json` that differ, and whether texts begin with a token of their own unless the file says. */
interface Parts extends JsonObject {
  readonly begins: boolean;
}

/** Rows of the embedding that have no token are called so by converters. */
const PADDING = /^\[PAD\d+\]$/;

const { normal, unknown, control, userDefined, unused, byte } = TOKEN_TYPES;

/** All tokens by their texts; those that are found before a text is split are among them, as they have ids among them. */
function vocabularyOf(tokens: readonly Listed[]): JsonObject {
  return Object.fromEntries(
    tokens.flatMap(({ text, type }, id) => (type === unused && PADDING.test(text) ? [] : [[text, id]])),
  );
}

/** `gpt2`: byte-level BPE. */
function bytePairs(metadata: MetadataReader, tokens: readonly Listed[], problems: Problems): Parts {
  const pre = metadata.text(key("pre"), "default");
  const splitting = preTokenizerOf(pre);
  if (!splitting)
    problems.push(
      `${key("pre")} is ${shown(pre)}; the known ways to split a text are ${PRE_TOKENIZERS.join(", ")}`,
    );
  metadata.only(key("add_space_prefix"), false);
  const lines = metadata.texts(key("merges"));
  if (!lines) problems.push(`${key("merges")} is missing`);
  const merges = (lines ?? []).map((line) => [
    line.slice(0, line.indexOf(" ", 1)),
    line.slice(line.indexOf(" ", 1) + 1),
  ]);
  const broken = lines?.findIndex((line) => line.indexOf(" ", 1) < 0) ?? -1;
  if (broken >= 0)
    problems.push(`${key("merges")} ${broken} is ${shown(lines?.[broken])}, no pair of tokens`);
  const level = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    begins: splitting?.begins ?? false,
    normalizer: splitting?.normalizer ?? null,
    pre_tokenizer: splitting?.preTokenizer ?? null,
    decoder: level,
    model: {
      ...{
        type: "BPE",
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
      },
      ...{ fuse_unk: false, byte_fallback: false, ignore_merges: splitting?.ignoresMerges ?? false },
      ...{ vocab: vocabularyOf(tokens), merges },
    },
  };
}

/** `llama`: SentencePiece's BPE, which writes in bytes what it lacks. */
function pieces(metadata: MetadataReader, tokens: readonly Listed[], problems: Problems): Parts {
  metadata.ignore(key("pre"), key("merges"), key("precompiled_charsmap"));
  if (!metadata.has(key("scores"))) problems.push(`${key("scores")} is missing`);
  const prefix = metadata.flag(key("add_space_prefix"), true);
  const replace = { type: "Replace", pattern: { String: " " }, content: "▁" };
  const unknownToken = tokens.find(({ type }) => type === unknown)?.text ?? null;
  const ownBytes = tokens.filter(({ type }) => type === byte).length;
  if (ownBytes > 0 && ownBytes !== 256) problems.push(`${ownBytes} tokens are bytes, expected 256`);
  return {
    begins: true,
    normalizer: prefix
      ? { type: "Sequence", normalizers: [{ type: "Prepend", prepend: "▁" }, replace] }
      : replace,
    pre_tokenizer: null,
    decoder: {
      type: "Sequence",
      decoders: [
        ...[
          { type: "Replace", pattern: { String: "▁" }, content: " " },
          { type: "ByteFallback" },
          { type: "Fuse" },
        ],
        ...(prefix ? [{ type: "Strip", content: " ", start: 1, stop: 0 }] : []),
      ],
    },
    model: {
      ...{ type: "BPE", dropout: null, unk_token: unknownToken, continuing_subword_prefix: null },
      ...{ end_of_word_suffix: null, fuse_unk: true, byte_fallback: true, ignore_merges: false },
      vocab: vocabularyOf(tokens),
      merges: mergesOfScores(tokens.filter(({ type }) => type === normal)),
    },
  };
}

/** Tokens that are found in a text before it is split. */
function addedTokens(tokens: readonly Listed[], isPhi3: boolean): JsonObject[] {
  // llama.cpp gives these of Phi-3 the blanks behind them, as its own tokenizer does.
  const stays = new Set(["<unk>", "<s>", "<|endoftext|>"]);
  return tokens.flatMap(({ text, type }, id) => {
    if (type !== control && type !== userDefined && type !== unknown) return [];
    const flags = {
      single_word: false,
      lstrip: false,
      rstrip: isPhi3 && !stays.has(text),
      normalized: false,
    };
    return [{ id, content: text, ...flags, special: type !== userDefined }];
  });
}

type Roles = Readonly<Partial<Record<"bos" | "eos" | "unk" | "pad", number>>>;

function specialRoles(metadata: MetadataReader, tokens: readonly Listed[], problems: Problems): Roles {
  const names = { bos: "bos", eos: "eos", unk: "unknown", pad: "padding" } as const;
  return Object.fromEntries(
    Object.entries(names).flatMap(([role, name]): [string, number][] => {
      const id = tokenId(metadata, `${name}_token_id`, tokens, problems);
      return id === undefined ? [] : [[role, id]];
    }),
  );
}

function tokenId(
  metadata: MetadataReader,
  name: string,
  tokens: readonly Listed[],
  problems: Problems,
): number | undefined {
  if (!metadata.has(key(name))) return undefined;
  const id = metadata.number(key(name));
  if (tokens[id]) return id;
  problems.push(`${key(name)} is ${id}, and there are ${tokens.length} tokens`);
  return undefined;
}

/** Tokens that llama.cpp ends a text with wherever a vocabulary has them; of Qwen's the letters `</s>` are a word as others. */
const ENDS = new Set([
  ...["<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>"],
  ...["<|end_of_text|>", "<eos>"],
]);

function stopIds(metadata: MetadataReader, eos: number | undefined, tokens: readonly Listed[]): number[] {
  const stated = ["eot_token_id", "eom_token_id"].flatMap((name) =>
    metadata.has(key(name)) ? [metadata.number(key(name))] : [],
  );
  const isEnd = ({ text, type }: Listed) => ENDS.has(text) && (type === control || type === userDefined);
  const named = tokens.flatMap((token, id) => (isEnd(token) ? [id] : []));
  return [...new Set([...(eos === undefined ? [] : [eos]), ...stated, ...named])].filter((id) => tokens[id]);
}

/** What stands around every text. */
function postProcessor(
  { begin, end }: { begin: number | undefined; end: number | undefined },
  tokens: readonly Listed[],
): JsonObject | null {
  const ids = [begin, end].filter((id) => id !== undefined);
  if (ids.length === 0) return null;
  const special = (id: number | undefined, type_id: number) =>
    id === undefined ? [] : [{ SpecialToken: { id: tokens[id]?.text, type_id } }];
  const framed = (id: "A" | "B", type_id: number) => [
    ...special(begin, type_id),
    { Sequence: { id, type_id } },
    ...special(end, type_id),
  ];
  return {
    type: "TemplateProcessing",
    single: framed("A", 0),
    pair: [...framed("A", 0), ...framed("B", 1)],
    special_tokens: Object.fromEntries(
      ids.map((id) => [tokens[id]?.text, { id: tokens[id]?.text, ids: [id], tokens: [tokens[id]?.text] }]),
    ),
  };
}

const TEMPLATE = "tokenizer.chat_template";

/** As in `tokenizer_config.json`: a text, or a list where there are several. */
function chatTemplates(metadata: MetadataReader): string | JsonObject[] | undefined {
  const names = metadata.texts("tokenizer.chat_templates") ?? [];
  const others = names.map((name) => ({ name, template: metadata.text(`${TEMPLATE}.${name}`) }));
  const usual = metadata.has(TEMPLATE) ? metadata.text(TEMPLATE) : undefined;
  if (others.length === 0) return usual;
  return [...(usual === undefined ? [] : [{ name: "default", template: usual }]), ...others];
}
