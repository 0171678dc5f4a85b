import { fail, LoraError } from "../../util/fail.ts";
import { isObject, type JsonObject } from "../../util/json.ts";
import { type FileSource, readJson, readText } from "../files/files.ts";
import { tokenName } from "./special-tokens.ts";
import { createTokenizer, type Tokenizer } from "./tokenizer.ts";
import { wordPieceTokenizer } from "./wordpiece.ts";

/** What a class of byte-level BPE tokenizers does, where its folder holds only vocabulary and merges. */
interface ByteLevelClass {
  normalizer: JsonObject | null;
  /** Splits the text before the bytes are encoded; GPT-2's own expression unless given. */
  split?: string;
  /** Special tokens that the class has where `tokenizer_config.json` says nothing of them. */
  special: Readonly<Record<string, string>>;
  /** Whether texts stand between `cls_token` and `sep_token`. */
  framed?: boolean;
}

const END_OF_TEXT = "<|endoftext|>";
const NFC = { type: "NFC" };
const GPT2: ByteLevelClass = {
  normalizer: null,
  special: { bos_token: END_OF_TEXT, eos_token: END_OF_TEXT, unk_token: END_OF_TEXT },
};
const GPT_NEOX: ByteLevelClass = {
  normalizer: NFC,
  special: { ...GPT2.special, pad_token: "<|padding|>" },
};
const ROBERTA: ByteLevelClass = {
  normalizer: null,
  framed: true,
  special: {
    ...{ bos_token: "<s>", eos_token: "</s>", unk_token: "<unk>", sep_token: "</s>" },
    ...{ pad_token: "<pad>", cls_token: "<s>", mask_token: "<mask>" },
  },
};
const QWEN2: ByteLevelClass = {
  normalizer: NFC,
  split:
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  special: { eos_token: END_OF_TEXT, unk_token: END_OF_TEXT, pad_token: END_OF_TEXT },
};

/** By `tokenizer_class`, or by `model_type` where there is no tokenizer_config.json. */
const CLASSES: Readonly<Record<string, ByteLevelClass>> = {
  GPT2Tokenizer: GPT2,
  gpt2: GPT2,
  opt: GPT2,
  GPTNeoXTokenizer: GPT_NEOX,
  gpt_neox: GPT_NEOX,
  RobertaTokenizer: ROBERTA,
  roberta: ROBERTA,
  Qwen2Tokenizer: QWEN2,
  qwen2: QWEN2,
  qwen3: QWEN2,
};

/** The parsed files of a model that name tokens by their ids. */
export interface ModelConfigs {
  /** `config.json`. */
  readonly config: JsonObject;
  readonly generationConfig?: JsonObject;
}

/** The tokenizer of a model's folder; undefined where the folder has none. */
export async function openTokenizer(
  files: FileSource,
  { config: modelConfig, generationConfig }: ModelConfigs,
): Promise<Tokenizer | undefined> {
  const hasConfig = (await files.size("tokenizer_config.json")) !== undefined;
  const config = hasConfig ? await readJson(files, "tokenizer_config.json") : {};
  const json = await readTokenizerJson(files, config, modelConfig.model_type);
  return json === undefined ? undefined : createTokenizer(json, config, generationConfig ?? modelConfig);
}

/**
 * A folder's `tokenizer.json`, or the same made of `vocab.txt` (WordPiece), or of `vocab.json` and `merges.txt`, which
 * older folders have instead.
 * @param config `tokenizer_config.json`
 * @param modelType `model_type` of the model's config
 * @returns undefined where there is neither
 */
export async function readTokenizerJson(
  files: FileSource,
  config: unknown,
  modelType: unknown,
): Promise<unknown> {
  const has = async (name: string) => (await files.size(name)) !== undefined;
  if (await has("tokenizer.json")) return readJson(files, "tokenizer.json");
  if (await has("vocab.txt")) {
    return wordPieceTokenizer(await readText(files, "vocab.txt"), isObject(config) ? config : {});
  }
  const merges = (await has("merges.txt"))
    ? "merges.txt"
    : (await has("vocab.bpe"))
      ? "vocab.bpe"
      : undefined;
  if (merges === undefined || !(await has("vocab.json"))) return undefined;
  return byteLevelTokenizer({
    vocab: await readJson(files, "vocab.json"),
    merges: await readText(files, merges),
    config: isObject(config) ? config : {},
    modelType,
  });
}

/** What a byte-level BPE tokenizer is made of. */
export interface ByteLevelFiles {
  vocab: unknown;
  merges: string;
  config: JsonObject;
  modelType?: unknown;
}

/**
 * The `tokenizer.json` that transformers would save for a vocabulary and merges.
 * @throws LoraError for a class of tokenizer that is not known, or files that are not what they should be
 */
export function byteLevelTokenizer({ vocab, merges, config, modelType }: ByteLevelFiles): JsonObject {
  const { normalizer, split, special, framed } = findClass(config.tokenizer_class, modelType);
  const ids = checkVocabulary(vocab);
  const named = { ...special, ...config };
  const bytes = { type: "ByteLevel", add_prefix_space: config.add_prefix_space === true, trim_offsets: true };
  const pattern = { type: "Split", pattern: { Regex: split }, behavior: "Isolated", invert: false };
  const added = addedTokens(named, ids);
  return {
    version: "1.0",
    added_tokens: added,
    normalizer,
    pre_tokenizer: split
      ? { type: "Sequence", pretokenizers: [pattern, { ...bytes, use_regex: false }] }
      : { ...bytes, use_regex: true },
    post_processor: framed ? clsAndSep(named, added) : beginAndEnd(named, added),
    decoder: { ...bytes, use_regex: true },
    model: { type: "BPE", vocab: ids, merges: parseMerges(merges) },
  };
}

function findClass(tokenizerClass: unknown, modelType: unknown): ByteLevelClass {
  const name = String(tokenizerClass ?? modelType).replace(/Fast$/, "");
  const found = Object.hasOwn(CLASSES, name) ? CLASSES[name] : undefined;
  if (found) return found;
  throw new LoraError(
    "unsupported",
    "tokenizer",
    `there is no tokenizer.json, and how ${name} splits text is not known here`,
    "save the tokenizer with transformers (save_pretrained): that writes tokenizer.json",
  );
}

function checkVocabulary(vocab: unknown): Readonly<Record<string, number>> {
  const valid = isObject(vocab) && Object.values(vocab).every((id) => Number.isInteger(id));
  if (!valid) fail("vocab.json", "is not an object of token → id");
  return vocab as Readonly<Record<string, number>>;
}

function parseMerges(text: string): string[] {
  const lines = text.split(/\r?\n/).filter((line) => line !== "" && !line.startsWith("#version"));
  const broken = lines.findIndex((line) => line.split(" ").length !== 2);
  if (broken >= 0) fail("merges.txt", `${JSON.stringify(lines[broken])} is no pair of tokens`);
  return lines;
}

interface AddedToken {
  id: number;
  content: string;
  special: boolean;
  normalized: boolean;
  lstrip: boolean;
  rstrip: boolean;
  single_word: boolean;
}

/** In the order in which transformers gives ids to those that the vocabulary lacks. */
const SPECIAL_KEYS = [
  ...["bos_token", "eos_token", "unk_token", "sep_token"],
  ...["pad_token", "cls_token", "mask_token"],
];

/** Tokens of `added_tokens_decoder`, and the special tokens that the config names besides; new ones get new ids. */
function addedTokens(config: JsonObject, vocab: Readonly<Record<string, number>>): AddedToken[] {
  const listed = isObject(config.added_tokens_decoder) ? config.added_tokens_decoder : {};
  const tokens = Object.entries(listed).flatMap(([id, token]) =>
    isObject(token) ? [addedToken(Number(id), token)] : [],
  );
  const extra = Array.isArray(config.additional_special_tokens) ? config.additional_special_tokens : [];
  const ids = [...Object.values(vocab), ...tokens.map(({ id }) => id)];
  let next = 1 + ids.reduce((highest, id) => Math.max(highest, id), -1);
  for (const given of [...SPECIAL_KEYS.map((key) => config[key]), ...extra]) {
    const content = tokenName(given);
    if (content === undefined || tokens.some((token) => token.content === content)) continue;
    const flags = isObject(given) ? given : {};
    tokens.push(addedToken(vocab[content] ?? next++, { ...flags, content, special: true }));
  }
  return tokens;
}

function addedToken(id: number, token: JsonObject): AddedToken {
  return {
    id,
    content: String(token.content),
    special: token.special === true,
    normalized: token.normalized === true,
    lstrip: token.lstrip === true,
    rstrip: token.rstrip === true,
    single_word: token.single_word === true,
  };
}

/** RoBERTa's frame: `<s> A </s>`, and of a pair `<s> A </s></s> B </s>`. */
function clsAndSep(config: JsonObject, added: readonly AddedToken[]): JsonObject {
  const pairOf = (key: string) => {
    const { content, id } = findAdded(key, config, added);
    return [content, id];
  };
  return {
    type: "RobertaProcessing",
    cls: pairOf("cls_token"),
    sep: pairOf("sep_token"),
    trim_offsets: true,
    add_prefix_space: config.add_prefix_space === true,
  };
}

/** A post-processor that puts the tokens for beginning and end around each text, where the config wants them. */
function beginAndEnd(config: JsonObject, added: readonly AddedToken[]): JsonObject | null {
  const wanted = (switchName: string, key: string) =>
    config[switchName] === true ? [findAdded(key, config, added)] : [];
  const before = wanted("add_bos_token", "bos_token");
  const after = wanted("add_eos_token", "eos_token");
  if (before.length + after.length === 0) return null;
  const item = (type_id: number) => (token: AddedToken) => ({ SpecialToken: { id: token.content, type_id } });
  const framed = (id: string, type_id: number) => [
    ...before.map(item(type_id)),
    { Sequence: { id, type_id } },
    ...after.map(item(type_id)),
  ];
  return {
    type: "TemplateProcessing",
    single: framed("A", 0),
    pair: [...framed("A", 0), ...framed("B", 1)],
    special_tokens: Object.fromEntries(
      [...before, ...after].map(({ content, id }) => [
        content,
        { id: content, ids: [id], tokens: [content] },
      ]),
    ),
  };
}

function findAdded(key: string, config: JsonObject, added: readonly AddedToken[]): AddedToken {
  const name = tokenName(config[key]);
  const found = added.find(({ content }) => content === name);
  return found ?? fail("tokenizer_config.json", `names no ${key}, which its texts begin or end with`);
}
