import { loadChats } from "../data/chat/late-chats.ts";
import { describeAlienIds } from "../data/tokenize/vocabulary.ts";
import { DEVICE, type Device } from "../gpu/device.ts";
import { type FileSource, type HubRepository, readJson, requireFiles } from "../io/files/files.ts";
import { type Checkpoint, openCheckpoint } from "../io/formats/checkpoint.ts";
import { CheckpointWeights } from "../io/formats/checkpoint-weights.ts";
import { readingParts } from "../io/formats/fused-experts.ts";
import {
  type GenerationSettings,
  readGenerationSettings,
  unusedGenerationSettings,
} from "../io/formats/generation-config.ts";
import type { ImageConfig } from "../io/formats/image-config.ts";
import { readQuantised } from "../io/formats/quantised/read-quantised.ts";
import { QUANTISING } from "../io/formats/weight-sink.ts";
import { type ChatTemplateSources, readChatTemplates } from "../io/tokenizer/chat-templates.ts";
import type { Tokenizer } from "../io/tokenizer/tokenizer.ts";
import type { HfConfig } from "../models/config-reader.ts";
import {
  type ImageClassifier,
  type LanguageModel,
  type ModelOf,
  type SentenceEncoder,
  TASKS,
  type Task,
} from "../models/model.ts";
import { markReleased } from "../nn/module.ts";
import { POOLING_MODES } from "../nn/pooling-modes.ts";
import { isReplication, type LayerReplication, REPLICATION_WANTED } from "../nn/replicate.ts";
import { fail, LoraError } from "../util/fail.ts";
import {
  callback,
  checkOptions,
  integer,
  listOf,
  oneOf,
  type Rule,
  type Rules,
  required,
  text,
} from "../util/options.ts";
import { createRandom } from "../util/random.ts";
import { initializerRange } from "./initializer-range.ts";
import { describeAbsent, describeUnused, explainMissing, layOutModel } from "./layout.ts";
import { OFFLOAD, type OffloadedLayers, type Offloading, offloadedLayers } from "./offload.ts";
import { QUANTIZATION, type Quantization, type QuantizationFormat, quantisation } from "./quantization.ts";

export { requireTokenizer } from "../io/tokenizer/require-tokenizer.ts";

/** What belongs to a loaded model beside its weights. */
export interface ModelFiles {
  /** Where it came from: a folder, a URL or a hub id `owner/name[@revision]`. */
  readonly name: string;
  /** The repository of the hub that it came from, and its revision; adapters name both. */
  readonly hub?: HubRepository | undefined;
  /** What it was loaded from. */
  readonly files?: FileSource | undefined;
  /** Its vocabulary has other rows than in the model's own files. */
  readonly isResized?: boolean;
  /** Absent where the checkpoint has no tokenizer: such a model trains and generates on ids. */
  readonly tokenizer: Tokenizer | undefined;
  /** Chat templates of a language model by name; empty where there are none. */
  readonly chatTemplates: ChatTemplateSources;
  /** How `generation_config.json` has a language model's tokens chosen; empty where there is none. */
  readonly generation: GenerationSettings;
  /** How an image model wants its images; absent where the model reads text. */
  readonly images: ImageConfig | undefined;
  /** Tensors of the head that the checkpoint lacks and that were initialised at random. */
  readonly initialised: readonly string[];
  /** The layers that stay on the host, where some do, and the bytes of them that came to the device so far. */
  readonly offload?: (OffloadedLayers & { readonly uploaded: number }) | undefined;
}

/** A language model with the files that belong to it. */
export type Model = LanguageModel & ModelFiles;

/** A model of any task with the files that belong to it. */
export type LoadedModel<T extends Task = Task> = ModelOf[T] & ModelFiles;

/** Which head a model gets, and which layers. */
export interface HeadChoice<T extends Task> {
  /** The head's task; by default the one that the config names. */
  task?: T;
  /** Names of the classes of a classifier; by default those of the config. A head for other classes starts at random. */
  labels?: readonly string[] | undefined;
  /** Seeds a head that the checkpoint lacks. */
  seed?: number;
  /** Stacks the layers anew, PEFT's `layer_replication`, as an adapter asks for that was trained so; copies share their weights. */
  layerReplication?: LayerReplication | undefined;
}

/** How a checkpoint is opened. */
export interface OpenOptions extends Pick<HeadChoice<Task>, "layerReplication"> {
  /** Told what about the files deserves attention but is no error, one line at a time. */
  onWarning?: ((warning: string) => void) | undefined;
  /** The frozen matrices take fewer bits: a format, or how exactly. */
  quantization?: Quantization | QuantizationFormat | undefined;
  /**
   * Layers' frozen matrices stay in the host's memory, all of them or those of so many layers, and come to the device when
   * they are needed, two layers at a time: twice in a training step, once for a token. None unless given.
   */
  offload?: Offloading | undefined;
}

/** What the layers have to be. */
export const REPLICATION: Rule = {
  wanted: REPLICATION_WANTED,
  accepts: isReplication,
  aliases: ["layer_replication"],
};

/** What the choice has to be. */
export const HEAD_RULES: Rules<HeadChoice<Task>> = {
  task: oneOf(TASKS),
  labels: listOf(text(), "a list of names", "id2label", "label_names"),
  seed: integer({ min: 0 }),
  layerReplication: REPLICATION,
};

/** What these options have to be. */
export const OPEN_RULES: Rules<OpenOptions> = {
  onWarning: callback(),
  quantization: QUANTIZATION,
  offload: OFFLOAD,
  layerReplication: REPLICATION,
};
const OPEN_TASK_RULES: Rules<HeadChoice<Task> & OpenOptions> = { ...HEAD_RULES, ...OPEN_RULES };

/**
 * Loads a language model from a Hugging Face checkpoint.
 * @throws LoraError as {@link openTaskModel} does, and where the checkpoint is of another task
 */
export async function openModel(
  files: FileSource,
  device: Device,
  options: OpenOptions = {},
): Promise<Model> {
  checkOptions("openModel", options, OPEN_RULES);
  return openTaskModel(files, device, { ...options, task: "causal-lm" });
}

/**
 * Loads a Hugging Face checkpoint: checks everything that can be checked, then streams the weights to the device.
 * Tensors that the model has no use for, and places where config, index or tokenizer say something else than the
 * weights, are told as warnings.
 * @throws LoraError listing all missing and misshapen tensors, or naming what is not supported
 */
export async function openTaskModel<T extends Task = Task>(
  files: FileSource,
  device: Device,
  options: HeadChoice<T> & OpenOptions = {},
): Promise<LoadedModel<T>> {
  checkOptions("openTaskModel", options, OPEN_TASK_RULES);
  requireFiles("openTaskModel", files);
  checkOptions("openTaskModel", { device }, { device: required(DEVICE) });
  return openCheckpointModel(files, device, await openCheckpoint(files), options);
}

/**
 * The same of a checkpoint that was opened, with what stands beside it.
 * @param unread whether no tensor is read: for a device whose memory has no content
 */
export async function openCheckpointModel<T extends Task = Task>(
  files: FileSource,
  device: Device,
  opened: Checkpoint,
  options: HeadChoice<T> & OpenOptions = {},
  { unread = false } = {},
): Promise<LoadedModel<T>> {
  const { task, labels, seed = 0, onWarning, layerReplication, offload } = options;
  const quantise = quantisation(options.quantization);
  if (quantise) await QUANTISING.load();
  const checkpoint = await readQuantised(opened);
  if (quantise) requireUnquantised(checkpoint);
  const labelled = withLabels(checkpoint.config, labels);
  const layout = await layOutModel(device, checkpoint, labelled, task, layerReplication);
  const { config, build, tensors, absent } = layout;
  const layerOf = offload ? offloadedLayers(layout.names, offload) : undefined;
  const kept = offload ? new (await import("../gpu/offload.ts")).Offload(device) : undefined;
  const { openTokenizer } = await import("../io/tokenizer/tokenizer-files.ts");
  const tokenizer = await openTokenizer(files, checkpoint);
  // Only who names the task gets a new head: else a checkpoint that lacks it is broken.
  const fresh = task && { random: createRandom(seed), std: initializerRange(config) };
  const weights = new CheckpointWeights(
    device,
    { ...checkpoint, tensors, read: readingParts(checkpoint.read) },
    { absent, quantise, layerOf, offload: kept, unread, ...(fresh && { fresh }) },
  );
  let model: ModelOf[T] | undefined;
  let isReleased = false;
  const release = () => {
    if (isReleased) return;
    isReleased = true;
    model?.release();
    weights.release();
    if (model) markReleased(model.root);
  };
  let images: ImageConfig | undefined;
  let chatTemplates: ChatTemplateSources = new Map();
  let generation: GenerationSettings = {};
  let notes: readonly string[] = [];
  try {
    model = build(device, weights.root) as ModelOf[T];
    if (model.task === "causal-lm") {
      chatTemplates = await readChatTemplates(files);
      if (chatTemplates.size > 0) await loadChats();
      [generation, notes] = generationOf(checkpoint, model, tokenizer);
    }
    images = "image" in model ? await openImageConfig(files, model) : undefined;
    if (model.task === "sentence-embedding") {
      const encoder = await withModules(files, model, tokenizer);
      [model, notes] = [encoder.model as ModelOf[T], encoder.notes];
    }
    await weights.finish(explainMissing(layout));
  } catch (error) {
    release(); // a model that does not fit fails while it is built
    throw error;
  }
  const { initialised } = weights;
  const alien =
    tokenizer && "vocabSize" in model.config && describeAlienIds(tokenizer, model.config.vocabSize);
  const remarks = [describeUnused(layout), describeAbsent(layout, initialised), alien || undefined];
  for (const warning of layout.warnings) onWarning?.(warning);
  for (const remark of [...remarks, ...notes])
    if (remark !== undefined) onWarning?.(`${files.label}: ${remark}`);
  const beside: ModelFiles = {
    name: files.label,
    isResized: "isResized" in files && files.isResized === true,
    hub: await pinnedHub(files),
    files,
    tokenizer,
    chatTemplates,
    generation,
    images,
    initialised,
    offload: kept,
  };
  return Object.assign({}, model, beside, { release });
}

/** @throws LoraError where a checkpoint's own files hold its matrices in fewer bits */
function requireUnquantised({ label, tensors }: Checkpoint): void {
  const types = new Set([...tensors.values()].flatMap(({ packed }) => packed?.type ?? []));
  if (types.size === 0) return;
  fail(label, `its weights are quantised already (${[...types].join(", ")})`, "leave quantization out");
}

/** The repository that files are of, at the commit that they were of. */
async function pinnedHub({ hub, commit }: FileSource): Promise<HubRepository | undefined> {
  const found = hub && (await commit?.());
  return found === undefined ? hub : ({ ...hub, commit: found } as HubRepository);
}

const GENERATION_FILE = "generation_config.json";

/** How the model's text is to be made, and what about that deserves attention. */
function generationOf(
  { generationConfig = {}, label }: Checkpoint,
  { config: { vocabSize } }: LanguageModel,
  tokenizer: Tokenizer | undefined,
): [GenerationSettings, notes: readonly string[]] {
  const unused = unusedGenerationSettings(generationConfig);
  const deaf = tokenizer?.stopTokenIds.filter((id) => id >= vocabSize) ?? [];
  const notes = [
    ...(unused.length > 0 ? [`${GENERATION_FILE} has ${unused.join(", ")}, not used here`] : []),
    ...deaf.map((id) => `no text ends with the token ${id}: the model's embedding has ${vocabSize} rows`),
  ];
  return [readGenerationSettings(generationConfig, `${label}/${GENERATION_FILE}`), notes];
}

/** The encoder as sentence-transformers saved it: its pooling, and the length to which it cuts texts. */
async function withModules(
  files: FileSource,
  model: SentenceEncoder,
  tokenizer: Tokenizer | undefined,
): Promise<{ model: SentenceEncoder; notes: readonly string[] }> {
  const modules = await sentenceModules(files, model.config.hiddenSize);
  if (modules === undefined) return { model, notes: [] };
  const mode = POOLING_MODES.find((known) => known === modules.pooling) ?? model.pooling;
  if (modules.lowerCase && tokenizer && String(tokenizer.encode("A É")) !== String(tokenizer.encode("a é"))) {
    const got = "do_lower_case is true, and the tokenizer tells upper case from lower";
    throw new LoraError("unsupported", files.label, got, "give a tokenizer that lowers texts itself");
  }
  const maxPositions = Math.min(model.config.maxPositions, modules.maxTokens ?? model.config.maxPositions);
  const config = { ...model.config, maxPositions };
  return { model: { ...model, ...model.withPooling(mode), config }, notes: modules.warnings };
}

/** How sentence-transformers saved an encoder; its reader stays out of a page that has no sentence encoder. */
export async function sentenceModules(files: FileSource, hiddenSize: number) {
  const { readSentenceModules } = await import("../io/formats/sentence-modules.ts");
  return readSentenceModules(files, hiddenSize);
}

/** The config with these classes in place of its own. */
export function withLabels(config: HfConfig, labels: readonly string[] | undefined): HfConfig {
  if (labels === undefined) return config;
  const { num_labels: _, ...rest } = config;
  const id2label = Object.fromEntries(labels.map((label, i) => [i, label]));
  return { ...rest, id2label, label2id: Object.fromEntries(labels.map((label, i) => [label, i])) };
}

async function openImageConfig(files: FileSource, { image }: ImageClassifier): Promise<ImageConfig> {
  const name = "preprocessor_config.json";
  const isThere = (await files.size(name)) !== undefined;
  const { readImageConfig } = await import("../io/formats/image-config.ts");
  return readImageConfig(isThere ? await readJson(files, name) : {}, image, `${files.label}/${name}`);
}
