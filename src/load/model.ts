import type { Device } from "../gpu/device.ts";
import { type Checkpoint, openCheckpoint } from "../io/checkpoint.ts";
import { CheckpointWeights } from "../io/checkpoint-weights.ts";
import { type FileSource, readJson } from "../io/files.ts";
import { createTokenizer, type Tokenizer } from "../io/tokenizer.ts";
import { readTokenizerJson } from "../io/tokenizer-files.ts";
import { buildModel } from "../models/families.ts";
import type { LanguageModel } from "../models/model.ts";
import { fail } from "../util/fail.ts";

/** A language model with the files that belong to it. */
export interface Model extends LanguageModel {
  /** Where it came from: a folder, a URL or a hub id; written into adapters as `base_model_name_or_path`. */
  readonly name: string;
  /** Absent where the checkpoint has neither `tokenizer.json` nor `vocab.json` with `merges.txt`: such a model trains and generates on ids. */
  readonly tokenizer: Tokenizer | undefined;
}

/** Weights that may be stored although the model does not read them: copies of tied matrices. */
const TIED_COPIES = ["lm_head.weight"];

/**
 * Loads a Hugging Face checkpoint: checks everything that can be checked, then streams the weights to the device.
 * @throws LoraError listing all missing, misshapen and unused tensors, or naming what is not supported
 */
export async function openModel(files: FileSource, device: Device): Promise<Model> {
  const checkpoint = await openCheckpoint(files);
  const tokenizer = await openTokenizer(files, checkpoint);
  const weights = new CheckpointWeights(device, checkpoint);
  const language = buildModel(device, checkpoint.config, weights.root);
  const release = () => {
    language.release();
    weights.release();
  };
  try {
    checkVocabulary(files.label, language, tokenizer);
    await weights.finish({ optional: language.tied ? TIED_COPIES : [] });
  } catch (error) {
    release();
    throw error;
  }
  return { ...language, name: files.label, tokenizer, release };
}

function checkVocabulary(label: string, { config }: LanguageModel, tokenizer: Tokenizer | undefined): void {
  if (!tokenizer || tokenizer.vocabSize <= config.vocabSize) return;
  const highest = tokenizer.vocabSize - 1;
  fail(label, `the tokenizer has ids up to ${highest}, the model an embedding of ${config.vocabSize} rows`);
}

async function openTokenizer(
  files: FileSource,
  { config: modelConfig, generationConfig }: Pick<Checkpoint, "config" | "generationConfig">,
): Promise<Tokenizer | undefined> {
  const hasConfig = (await files.size("tokenizer_config.json")) !== undefined;
  const config = hasConfig ? await readJson(files, "tokenizer_config.json") : {};
  const json = await readTokenizerJson(files, config, modelConfig.model_type);
  return json === undefined ? undefined : createTokenizer(json, config, generationConfig ?? modelConfig);
}

/** The model's tokenizer. @throws LoraError where there is none. */
export function requireTokenizer(model: Model): Tokenizer {
  return model.tokenizer ?? fail(model.name, "has no tokenizer.json", "add it, or work with token ids");
}
