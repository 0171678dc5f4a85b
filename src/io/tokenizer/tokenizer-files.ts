import { fail, LoraError } from "../../util/fail.ts";
import { isObject, type JsonObject } from "../../util/json.ts";
import { type FileSource, readJson, readOptionalObject, readText } from "../files/files.ts";
import { SAVE_IT } from "./remedy.ts";
import { readTokenizerSchema } from "./schema/schema.ts";
import { type SettledTokenizer, settleTokenizer } from "./settle-tokenizer.ts";
import { readTokenSettings, type TokenFiles } from "./token-settings.ts";
import { makeTokenizer, type Tokenizer } from "./tokenizer.ts";
import { tokenizerClass } from "./tokenizer-classes.ts";
import { wordPieceModel } from "./wordpiece.ts";

/** The parsed files of a model that name tokens by their ids. */
export interface ModelConfigs {
  /** `config.json`. */
  readonly config: JsonObject;
  readonly generationConfig?: JsonObject;
}

/**
 * The tokenizer of a model's folder: its `tokenizer.json`, or the same made of `vocab.txt` (WordPiece), or of
 * `vocab.json` and `merges.txt`, which older folders have instead; with what the files beside it say.
 * @returns undefined where the folder has none of these
 * @throws LoraError for a file that is not what it should be, and for one that can't be read here (`tokenizer.model`)
 */
export async function openTokenizer(
  files: FileSource,
  configs: ModelConfigs,
): Promise<Tokenizer | undefined> {
  const settled = await readSettledTokenizer(files, configs);
  if (settled === undefined) return undefined;
  const stated = Object.entries(configs.generationConfig ?? {}).filter(([, value]) => value !== null);
  return makeTokenizer(settled, { ...configs.config, ...Object.fromEntries(stated) });
}

/** As {@link openTokenizer}: what its files say together, for those who write it in another form. */
export async function readSettledTokenizer(
  files: FileSource,
  { config: modelConfig }: Pick<ModelConfigs, "config">,
): Promise<SettledTokenizer | undefined> {
  const beside: TokenFiles = { ...(await readTokenFiles(files)), modelConfig };
  const vocabulary = await readVocabulary(files, beside);
  if (vocabulary === undefined) return undefined;
  const { json, madeOf } = vocabulary;
  const padding = isObject(json) && isObject(json.padding) ? json.padding.pad_token : undefined;
  return settleTokenizer(readTokenizerSchema(json), beside, {
    ...(madeOf && { madeOf }),
    ...(typeof padding === "string" && { padding }),
  });
}

async function readTokenFiles(files: FileSource): Promise<TokenFiles> {
  const [config, specialTokensMap, addedTokens] = await Promise.all(
    ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"].map((name) =>
      readOptionalObject(files, name, SAVE_IT),
    ),
  );
  return {
    ...(config && { config }),
    ...(specialTokensMap && { specialTokensMap }),
    ...(addedTokens && { addedTokens }),
  };
}

interface Vocabulary {
  /** A `tokenizer.json`. */
  readonly json: unknown;
  /** The file that it was made of, where there is none. */
  readonly madeOf?: string;
}

async function readVocabulary(files: FileSource, beside: TokenFiles): Promise<Vocabulary | undefined> {
  const has = async (name: string) => (await files.size(name)) !== undefined;
  if (await has("tokenizer.json")) return { json: await readJson(files, "tokenizer.json") };
  if (await has("vocab.txt")) {
    return buildTokenizer({ words: await readText(files, "vocab.txt") }, beside);
  }
  const merges = (await has("merges.txt")) ? "merges.txt" : "vocab.bpe";
  if (!(await has("vocab.json")) || !(await has(merges))) return refuseOthers(files.label, has);
  return buildTokenizer(
    { vocab: await readJson(files, "vocab.json"), merges: await readText(files, merges) },
    beside,
  );
}

/** Files of tokenizers in other forms. */
const OTHERS = [
  ...["tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "spm.model"],
  ...["tekken.json", "tiktoken.model", "vocab.json", "vocab.bpe", "merges.txt"],
];

/** A folder with no tokenizer at all is fine: its model works on ids. */
async function refuseOthers(label: string, has: (name: string) => Promise<boolean>): Promise<undefined> {
  for (const name of OTHERS) {
    if (!(await has(name))) continue;
    const message = `${name} is the only file of a tokenizer, and it is not read here; tokenizer.json is`;
    const needs = name.endsWith(".model") ? " (needs sentencepiece and protobuf)" : "";
    throw new LoraError("unsupported", label, message, SAVE_IT + needs);
  }
}

/** `vocab.txt`, or `vocab.json` and `merges.txt`. */
export type VocabularyFiles =
  | { readonly words: string }
  | { readonly vocab: unknown; readonly merges: string };

/**
 * The `tokenizer.json` that transformers would save for a vocabulary, before tokens are added to it.
 * @throws LoraError for a class of tokenizer that is not known, or files that are not what they should be
 */
function buildTokenizer(vocabulary: VocabularyFiles, files: TokenFiles): Vocabulary {
  const { config = {}, modelConfig = {} } = files;
  const { name, traits } = tokenizerClass(config, modelConfig);
  const [kind, madeOf] = "words" in vocabulary ? ["WordPiece", "vocab.txt"] : ["BPE", "vocab.json"];
  if (traits.vocabulary !== kind || !traits.parts) {
    throw new LoraError(
      "unsupported",
      "tokenizer",
      `there is no tokenizer.json, and how ${name} splits text is not known here`,
      SAVE_IT,
    );
  }
  const model =
    "words" in vocabulary
      ? wordPieceModel(vocabulary.words, readTokenSettings(files).roles.get("unk_token")?.content ?? "[UNK]")
      : bytePairModel(vocabulary);
  return { json: { ...traits.parts(config), added_tokens: [], post_processor: null, model }, madeOf };
}

function bytePairModel({ vocab, merges }: { vocab: unknown; merges: string }): JsonObject {
  const valid = isObject(vocab) && Object.values(vocab).every((id) => Number.isInteger(id));
  if (!valid) fail("vocab.json", "is not an object of token → id", SAVE_IT);
  return { type: "BPE", vocab, merges: parseMerges(merges) };
}

function parseMerges(text: string): string[] {
  const lines = text.split(/\r?\n/).filter((line) => line !== "" && !line.startsWith("#version"));
  const broken = lines.findIndex((line) => line.split(" ").length !== 2);
  if (broken >= 0) fail("merges.txt", `${JSON.stringify(lines[broken])} is no pair of tokens`, SAVE_IT);
  return lines;
}
