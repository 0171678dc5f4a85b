import { LoraError, Problems } from "../../util/fail.ts";
import { asText, isObject, type JsonObject } from "../../util/json.ts";
import { shown } from "../../util/shown.ts";
import { type FileSource, leavesFolder, readOptionalJson } from "../files/files.ts";

/** What the files of sentence-transformers say about an encoder, as far as it is its own. */
export interface SentenceModules {
  /** `pooling_mode`: the one way, or several whose results would be joined. */
  readonly pooling: string;
  /** `max_seq_length`, where it is said. */
  readonly maxTokens: number | undefined;
  /** `do_lower_case`: texts are lowered before the tokenizer sees them. */
  readonly lowerCase: boolean;
  /** What deserves attention but is no error. */
  readonly warnings: readonly string[];
}

/** Old flags, in the order of `_LEGACY_POOLING_MODE_KWARGS` of sentence-transformers 6. */
const FLAGS: readonly (readonly [flag: string, mode: string])[] = [
  ["pooling_mode_cls_token", "cls"],
  ["pooling_mode_max_tokens", "max"],
  ["pooling_mode_mean_tokens", "mean"],
  ["pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"],
  ["pooling_mode_weightedmean_tokens", "weightedmean"],
  ["pooling_mode_lasttoken", "lasttoken"],
];

const POOLING_FIELDS = new Set([
  ...["word_embedding_dimension", "embedding_dimension", "pooling_mode", "include_prompt"],
  ...FLAGS.map(([flag]) => flag),
]);

/** The later names are those of the first versions. */
const TRANSFORMER_CONFIGS = [
  ...["sentence_bert_config.json", "sentence_roberta_config.json", "sentence_distilbert_config.json"],
  "sentence_xlm-roberta_config.json",
];

const MODULES = "modules.json";

/**
 * Reads `modules.json` and what belongs to it.
 * @returns undefined where there is none: a plain model of transformers
 * @param hidden width of the tokens' states
 * @throws LoraError naming every module and setting that is not supported
 */
export async function readSentenceModules(
  files: FileSource,
  hidden: number,
): Promise<SentenceModules | undefined> {
  const listed = await readOptionalJson(files, MODULES);
  if (listed === undefined) return undefined;
  const problems: string[] = [];
  const modules = Array.isArray(listed) ? listed.filter(isObject) : [];
  const kinds = modules.map(({ type }) => (asText(type) ?? shown(type)).split(".").at(-1) ?? "");
  const wanted = kinds[0] === "Transformer" && kinds[1] === "Pooling" && kinds.slice(2).every(isNormalize);
  const alien = kinds.filter((kind) => !["Transformer", "Pooling", "Normalize"].includes(kind));
  if (alien.length > 0) problems.push(`${MODULES} has ${alien.join(", ")}, which is not supported`);
  else if (!wanted) problems.push(`${MODULES} has ${kinds.join(", ") || "no modules"}`);
  const [first, second] = modules;
  if (typeof first?.path === "string" && first.path !== "") {
    problems.push(
      `${MODULES} has the transformer in ${JSON.stringify(first.path)}; it must be the folder itself`,
    );
  }
  const pooling = wanted ? await readPooling(files, second?.path, hidden, problems) : "";
  const { maxTokens, lowerCase } = await readTransformer(files, problems);
  if (problems.length > 0) {
    throw new LoraError("unsupported", `${files.label} as a sentence encoder`, new Problems(problems), HELP);
  }
  const warnings = await readNotes(files, kinds.some(isNormalize));
  return { pooling, maxTokens, lowerCase, warnings };
}

const isNormalize = (kind: string) => kind === "Normalize";

const HELP = `supported are Transformer, Pooling of one mode (${FLAGS.map(([, mode]) => mode).join(", ")}) and Normalize; train another head or another encoder`;

async function readPooling(
  files: FileSource,
  folder: unknown,
  hidden: number,
  problems: string[],
): Promise<string> {
  if (typeof folder !== "string" || leavesFolder(folder)) {
    problems.push(`${MODULES} has the pooling in ${shown(folder)}; it must be a folder below this one`);
    return "";
  }
  const path = `${folder}/config.json`;
  const config = await readOptionalJson(files, path);
  if (!isObject(config)) {
    problems.push(`${path} is missing or no object`);
    return "";
  }
  const alien = Object.keys(config).filter((name) => !POOLING_FIELDS.has(name));
  for (const name of alien) problems.push(`${path}: ${name} is not known`);
  const size = config.embedding_dimension ?? config.word_embedding_dimension;
  if (size !== undefined && size !== hidden) {
    problems.push(`${path}: the embedding dimension is ${JSON.stringify(size)}, the model's ${hidden}`);
  }
  const modes = modesOf(config);
  const [mode = ""] = modes;
  if (modes.length !== 1)
    problems.push(`${path}: ${modes.join(" and ")} would be joined, which is not supported`);
  else if (!FLAGS.some(([, known]) => known === mode)) {
    problems.push(`${path}: pooling_mode ${JSON.stringify(mode)} is not known`);
  }
  return mode;
}

/** As `_convert_legacy_pooling_kwargs`: the newer field wins, and without any flag it is the mean. */
function modesOf(config: JsonObject): string[] {
  const { pooling_mode: given } = config;
  if (given !== undefined && given !== null) return [given].flat().map((mode) => asText(mode) ?? shown(mode));
  const active = FLAGS.filter(([flag]) => config[flag] === true).map(([, mode]) => mode);
  return active.length > 0 ? active : ["mean"];
}

async function readTransformer(
  files: FileSource,
  problems: string[],
): Promise<Pick<SentenceModules, "maxTokens" | "lowerCase">> {
  for (const name of TRANSFORMER_CONFIGS) {
    const config = await readOptionalJson(files, name);
    if (config === undefined) continue;
    if (!isObject(config)) {
      problems.push(`${name} is no object`);
      break;
    }
    const { max_seq_length: length, do_lower_case: lower } = config;
    const isLength = Number.isInteger(length) && (length as number) > 0;
    if (length !== undefined && length !== null && !isLength) {
      problems.push(`${name}: max_seq_length is ${JSON.stringify(length)}, wanted a positive whole number`);
    }
    return { maxTokens: isLength ? (length as number) : undefined, lowerCase: lower === true };
  }
  return { maxTokens: undefined, lowerCase: false };
}

/** Fields that sentence-transformers applies when it is used, and not when it trains. */
async function readNotes(files: FileSource, isNormalised: boolean): Promise<string[]> {
  const name = "config_sentence_transformers.json";
  const config = await readOptionalJson(files, name);
  if (!isObject(config)) return [];
  const { prompts, default_prompt_name: usual, similarity_fn_name: similarity } = config;
  const named = isObject(prompts) ? Object.entries(prompts).filter(([, text]) => text !== "") : [];
  const notes: string[] = [];
  if (named.length > 0) {
    const which = named.map(([prompt]) => prompt).join(", ");
    const always = typeof usual === "string" ? `, and ${usual} is used where none is named` : "";
    notes.push(
      `${name} has prompts (${which}${always}): here no prompt is added, so write it into the texts`,
    );
  }
  if (typeof similarity === "string" && similarity !== "cosine" && !isNormalised) {
    notes.push(
      `${name} compares by ${JSON.stringify(similarity)}; here vectors have length 1 and cosines are compared`,
    );
  }
  return notes;
}
