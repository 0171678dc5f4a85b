import { type FileContent, type FileSource, leavesFolder, readOptionalJson } from "../io/files/files.ts";
import {
  CHAT_TEMPLATE_FILE,
  CHAT_TEMPLATE_FOLDER,
  namedTemplateFiles,
} from "../io/tokenizer/chat-templates.ts";
import type { Task } from "../models/model.ts";
import { failAll } from "../util/fail.ts";
import { isObject } from "../util/json.ts";

/** Files of a tokenizer, by any library that a model of the families here comes from. */
export const TOKENIZER_FILES: readonly string[] = [
  ...["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"],
  ...["vocab.json", "vocab.txt", "vocab.bpe", "merges.txt"],
  ...["tokenizer.model", "tokenizer.model.v3", "tekken.json", "spiece.model", "sentencepiece.bpe.model"],
  ...[CHAT_TEMPLATE_FILE, "chat_template.json"],
];

/** What turns other input than text into tensors. */
const PROCESSOR_FILES = ["preprocessor_config.json", "processor_config.json"];

const GENERATION_FILES = ["generation_config.json"];

/** The list of a sentence encoder's modules, by sentence-transformers. */
const MODULES = "modules.json";

/** What sentence-transformers reads beside it; the later names are those of its first versions. */
const SENTENCE_FILES = [
  ...["config_sentence_transformers.json", "sentence_bert_config.json", "sentence_roberta_config.json"],
  ...["sentence_distilbert_config.json", "sentence_xlm-roberta_config.json"],
];

/** Files of one module in its own folder. */
const MODULE_FILES = ["config.json", "model.safetensors", "pytorch_model.bin"];

const WEIGHTS = /^(?:model|pytorch_model)(?:-\d{5}-of-\d{5})?\.(?:safetensors|bin)(?:\.index\.json)?$/;

/** Files in the folders that sentence-transformers makes for its modules, such as `1_Pooling`. */
const MODULE_FILE =
  /^\d_(?:Pooling|WeightedLayerPooling|Normalize|Dense|LayerNorm|Dropout|CNN|LSTM)\/(?:config\.json|model\.safetensors|pytorch_model\.bin)$/;

const KNOWN = new Set([
  ...["config.json", MODULES],
  ...[...TOKENIZER_FILES, ...PROCESSOR_FILES, ...GENERATION_FILES, ...SENTENCE_FILES],
]);

/**
 * Whether a file of this name is part of a model that lies in a folder: its configuration, weights, tokenizer and the
 * like, of any model. What is left over of one model beside the files of another would be read with them.
 * @param name with `/` where it lies in a sub-folder
 */
export function isModelFile(name: string): boolean {
  if (KNOWN.has(name) || isWeightsFile(name) || MODULE_FILE.test(name)) return true;
  return name.startsWith(`${CHAT_TEMPLATE_FOLDER}/`) && name.endsWith(".jinja");
}

/** Whether a file of this name holds a model's weights, or says which files do. */
export function isWeightsFile(name: string): boolean {
  return WEIGHTS.test(name);
}

/**
 * What belongs to a checkpoint beside its weights and configuration, of what is there: the files that transformers'
 * `save_pretrained` of model, tokenizer and processor writes, what sentence-transformers reads beside a sentence
 * encoder, and the code that a config asks for.
 * @param task the model's; a classifier generates nothing and is no sentence encoder
 */
export async function companionFiles(files: FileSource, task: Task): Promise<Map<string, FileContent>> {
  const names = [
    ...TOKENIZER_FILES,
    ...PROCESSOR_FILES,
    ...(await namedTemplateFiles(files)),
    ...(await codeNames(files)),
    ...(task === "causal-lm" ? GENERATION_FILES : []),
    ...(task === "sentence-embedding" ? await sentenceNames(files) : []),
  ];
  const read = [...new Set(names)].map(async (name): Promise<[string, FileContent][]> => {
    const size = await files.size(name);
    return size === undefined ? [] : [[name, await files.read(name, 0, size)]];
  });
  return new Map((await Promise.all(read)).flat());
}

/** Python files that `auto_map` names: with `trust_remote_code`, transformers looks for them in the model's folder. */
async function codeNames(files: FileSource): Promise<string[]> {
  const configs = await Promise.all(
    ["config.json", "tokenizer_config.json"].map((name) => readOptionalJson(files, name)),
  );
  const maps = configs.flatMap((config) =>
    isObject(config) && isObject(config.auto_map) ? [config.auto_map] : [],
  );
  const classes = maps.flatMap((map) => Object.values(map).flat());
  return classes
    .flatMap((name) => (typeof name === "string" ? (/^(\w+)\.\w+$/.exec(name)?.[1] ?? []) : []))
    .map((module) => `${module}.py`);
}

async function sentenceNames(files: FileSource): Promise<string[]> {
  const listed = await readOptionalJson(files, MODULES);
  const modules = Array.isArray(listed) ? listed.filter(isObject) : [];
  const paths = modules.flatMap(({ path }) => (typeof path === "string" && path !== "" ? [path] : []));
  const outside = paths
    .filter(leavesFolder)
    .map((path) => `the path ${JSON.stringify(path)} leaves the folder`);
  failAll(`${files.label}/${MODULES}`, outside, "name folders below that of the file");
  const inFolders = paths.flatMap((path) => MODULE_FILES.map((name) => `${path}/${name}`));
  return [MODULES, ...SENTENCE_FILES, ...inFolders];
}
