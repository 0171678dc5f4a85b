import type { Adapter } from "../adapters/adapter.ts";
import { requireAdapterOf } from "../adapters/owners.ts";
import { elementCount } from "../gpu/tensor.ts";
import { type FileContent, type FileSource, readText, requireFiles } from "../io/files/files.ts";
import { type Checkpoint, type CheckpointTensor, openCheckpoint } from "../io/formats/checkpoint.ts";
import { readQuantised } from "../io/formats/quantised/read-quantised.ts";
import { QUANTISATION_FIELDS } from "../io/formats/quantised/settings.ts";
import { byteLength, type SafetensorsDtype } from "../io/formats/safetensors.ts";
import { planSafetensors, type TensorSpec } from "../io/formats/safetensors-writer.ts";
import { editJson } from "../io/json/edit.ts";
import { pythonJson } from "../io/json/python-json.ts";
import { CHAT_TEMPLATE_FILE, readChatTemplates } from "../io/tokenizer/chat-templates.ts";
import { castToFloat } from "../kernels/cast.ts";
import type { HfConfig } from "../models/config-reader.ts";
import { planModel } from "../models/families.ts";
import { shapeWeights } from "../nn/initial-weights.ts";
import { isLinear } from "../nn/linear.ts";
import { isLeaf, modules, requireModel } from "../nn/module.ts";
import { ownName } from "../nn/weights.ts";
import { append } from "../util/arrays.ts";
import { fail } from "../util/fail.ts";
import { asText } from "../util/json.ts";
import { callback, checkOptions, FACTOR, flag, number, type Rules } from "../util/options.ts";
import { layOutModel } from "./layout.ts";
import { type Change, changeOf, partTies } from "./merge-changes.ts";
import { checkRange, decode, encode } from "./merged-values.ts";
import { type LoadedModel, withLabels } from "./model.ts";
import { companionFiles } from "./model-folder.ts";
import { stackedCheckpoint } from "./replicated.ts";
import { type MadeTensor, type Requantisation, requantisation } from "./requantised.ts";

const SINGLE = "model.safetensors";
const INDEX = "model.safetensors.index.json";

/** Bytes of an unchanged tensor that are copied at a time. */
const CHUNK_BYTES = 4 * 2 ** 20;

/** Options of {@link mergedFiles}. */
export interface MergeOptions {
  /**
   * The model was quantised while it was loaded: write the values that its matrices have since then, which the adapter was
   * trained on, in the checkpoint's number format. False unless given: such a model is refused.
   */
  dequantize?: boolean | undefined;
  /**
   * The model is quantised: write its matrices so again, nf4 and fp4 as transformers saves bitsandbytes', others as
   * compressed-tensors has them, those with a change quantised anew. The merged model is not quite the one with the adapter
   * beside it. False unless given.
   */
  requantize?: boolean | undefined;
  /** What the update is multiplied with, as by `adapter.scaled`; 1 unless given. */
  scale?: number | undefined;
  /** Called with what deserves attention but is no error, one line at a time: that tied matrices part. */
  onWarning?: ((warning: string) => void) | undefined;
}

export const MERGE_RULES: Rules<MergeOptions> = {
  dequantize: flag(),
  requantize: flag(),
  scale: number(FACTOR),
  onWarning: callback(),
};

/**
 * The files of a model with an adapter merged into its weights: W + s · B A where there is LoRA, and the trained copy of
 * what was trained whole. Tensors have the names that transformers gives them in the class's files, the checkpoint's
 * number formats and its division into files; those that are not changed are copied byte for byte. What the model does
 * not read, such as heads of other tasks, is left out. One tensor at a time is in memory. The model is left as it is.
 * PEFT's `merge_and_unload`. Layers that were stacked anew become layers of their own, where PEFT adds up what its copies
 * learnt. In a folder that holds another model, {@link isModelFile} says which files must go.
 * @param files the checkpoint that the model was loaded from
 * @throws LoraError where the adapter is of another model or was released, its method cannot be merged, or the checkpoint
 * is another
 */
export async function mergedFiles(
  model: LoadedModel,
  adapter: Adapter,
  files: FileSource,
  options: MergeOptions = {},
): Promise<Map<string, FileContent>> {
  const { checkpoint, config, layout } = await planMerge(model, adapter, files, options);
  const shards = [...layout].map(([file, tensors]) => [file, weightsFile(checkpoint, tensors)] as const);
  const result = new Map<string, FileContent>([["config.json", config], ...shards]);
  if (!layout.has(SINGLE)) result.set(INDEX, indexFile(layout));
  for (const [name, content] of await companionFiles(files, model.task)) result.set(name, content);
  const chat = model.chatTemplates.get("default");
  const isOther = chat?.source !== (await readChatTemplates(files)).get("default")?.source;
  if (chat && isOther) result.set(CHAT_TEMPLATE_FILE, chat.source); // what the adapter was trained with
  return result;
}

/** A tensor of a merged model. */
export interface MergedTensor {
  /** As transformers names it in the class's files. */
  readonly name: string;
  readonly shape: readonly number[];
  /** Its values, row-major; they are read or computed now. */
  values(): Promise<Float32Array>;
}

/**
 * The tensors of {@link mergedFiles} for other formats than safetensors: those that the adapter changes have not been
 * rounded to the checkpoint's number format.
 * @returns also the merged model's `config.json`
 * @throws LoraError as {@link mergedFiles} does
 */
export async function mergedTensors(
  model: LoadedModel,
  adapter: Adapter,
  files: FileSource,
  options: MergeOptions = {},
): Promise<{ config: HfConfig; tensors: MergedTensor[] }> {
  if (options.requantize) fail("merge", "requantize writes safetensors alone", "leave it out");
  const { checkpoint, config, layout } = await planMerge(model, adapter, files, options);
  const tensors = [...layout.values()].flat().map(({ spec, stored, change }): MergedTensor => {
    const { name, shape } = spec;
    const read = async () => decode(await checkpoint.read(stored as CheckpointTensor), spec);
    const compute = async () => {
      const values = await (change as Change).values();
      checkRange(values, { ...spec, dtype: "F32" });
      return values;
    };
    return { name, shape, values: change ? compute : read };
  });
  return { config: JSON.parse(config) as HfConfig, tensors };
}

/** What is to be written, before anything is computed. */
interface MergePlan {
  readonly checkpoint: Checkpoint;
  /** The text of `config.json`. */
  readonly config: string;
  /** The tensors of each file of weights. */
  readonly layout: ReadonlyMap<string, readonly Source[]>;
}

async function planMerge(
  model: LoadedModel,
  adapter: Adapter,
  files: FileSource,
  options: MergeOptions,
): Promise<MergePlan> {
  checkOptions("merge", options, MERGE_RULES);
  requireModel("merge", model);
  requireAdapterOf("merge", adapter, model.root);
  requireFiles("merge", files);
  const checkpoint = await stackedCheckpoint(await readQuantised(await openCheckpoint(files)), model);
  if (options.dequantize && options.requantize)
    fail("merge", "dequantize and requantize are both given", "leave one out");
  const again = options.requantize ? requantisation(model.root) : undefined;
  const changes = new Map([
    ...(again ? [] : dequantisedTensors(model, checkpoint, options.dequantize === true)),
    ...initialisedTensors(model),
  ]);
  const parted = partTies(model, adapter, changes, options);
  const plain = mergedConfig(await readText(files, "config.json"), checkpoint.config, parted);
  const names = await namesOf(model, checkpoint, JSON.parse(plain) as HfConfig);
  const dtype = configuredDtype(checkpoint.config) ?? "BF16";
  const settings = again && new Map([["quantization_config", again.config(dtype, names.file)]]);
  const config = settings ? editJson(plain, settings) : plain;
  return { checkpoint, config, layout: layOut(checkpoint, changes, names, again) };
}

/** What a tensor is called. */
interface Names {
  /** The model's own name for a stored tensor, or nothing where neither the model nor its class in transformers reads it. */
  own(stored: string): string | undefined;
  /** The model's own name for what a stored tensor is one part of. */
  whole(stored: string): string | undefined;
  /** The name in the class's files. */
  file(own: string): string;
}

async function namesOf(model: LoadedModel, checkpoint: Checkpoint, config: HfConfig): Promise<Names> {
  const { device, renames, task } = model;
  // Without these, transformers would make such layers at random, and say so.
  const absent = "absentModules" in model ? (model.absentModules ?? []) : [];
  const { family, tensors, names } = await layOutModel(device, checkpoint, config, task);
  const read = [...tensors].filter(([own]) => names.has(own));
  const byStored = new Map(read.map(([own, { name }]) => [name, own]));
  const wholes = new Map(read.flatMap(([own, { parts = [] }]) => parts.map(({ name }) => [name, own])));
  return {
    whole: (stored) => wholes.get(stored),
    own(stored) {
      if (wholes.has(stored)) return stored;
      const name = ownName(renames, stored);
      const isKept = absent.some((path) => name.startsWith(`${path}.`));
      return byStored.get(stored) ?? (isKept ? name : undefined);
    },
    file: (own) => ownName(family.fileNames, own),
  };
}

/** A tensor of the result: where its values come from. */
type Source = {
  readonly spec: TensorSpec;
  readonly stored?: CheckpointTensor;
  readonly change?: Change | undefined;
  /** Of a matrix that is quantised again. */
  readonly bytes?: MadeTensor["bytes"];
};

/** The tensors of each file. Those that the checkpoint lacks (a new head) go into the last file. */
function layOut(
  { tensors, config }: Checkpoint,
  changes: ReadonlyMap<string, Change>,
  names: Names,
  again?: Requantisation,
): Map<string, Source[]> {
  const byFile = new Map<string, Source[]>();
  const there = new Set<string>();
  for (const stored of [...tensors.values()].sort((a, b) => (a.file < b.file ? -1 : 1))) {
    const own = names.own(stored.name);
    const whole = names.whole(stored.name);
    if (own === undefined || (whole !== undefined && changes.has(whole))) continue;
    const change = changes.get(own);
    const dtype = stored.packed ? (configuredDtype(config) ?? "BF16") : stored.dtype;
    const spec = { name: names.file(own), dtype, shape: change?.shape ?? stored.shape };
    const sources = byFile.get(stored.file) ?? [];
    byFile.set(stored.file, sources);
    append(sources, again?.tensorsOf(own, spec, change) ?? [{ spec, stored, change }]);
    there.add(own);
  }
  const files = [...byFile.values()];
  const last = files.at(-1) ?? [];
  const first = last[0]?.spec ?? fail("merge", "the checkpoint holds no tensors");
  const dtype = configuredDtype(config) ?? first.dtype;
  for (const [own, change] of changes) {
    if (!there.has(own)) last.push({ spec: { name: names.file(own), dtype, shape: change.shape }, change });
  }
  return new Map(files.map((sources, i) => [shardName(i, files.length), sources]));
}

/** Whatever the base's files are called: these names are all that a second merge must replace. */
function shardName(i: number, count: number): string {
  if (count === 1) return SINGLE;
  const digits = (n: number) => String(n).padStart(5, "0");
  return `model-${digits(i + 1)}-of-${digits(count)}.safetensors`;
}

const CONFIGURED: ReadonlyMap<string, SafetensorsDtype> = new Map([
  ["float32", "F32"],
  ["bfloat16", "BF16"],
  ["float16", "F16"],
]);

/** The number format that transformers makes a tensor in which the checkpoint lacks. */
function configuredDtype({ dtype, torch_dtype }: HfConfig): SafetensorsDtype | undefined {
  const name = asText(dtype ?? torch_dtype)?.replace("torch.", "");
  return name === undefined ? undefined : CONFIGURED.get(name);
}

/** What is quantised, as it is read now. @throws LoraError where that is not wanted */
function dequantisedTensors(
  { root }: LoadedModel,
  { tensors }: Checkpoint,
  wanted: boolean,
): [string, Change][] {
  const own = [...modules(root)].filter(isLeaf).filter((leaf) => !(isLinear(leaf) && leaf.tiedTo));
  const changes = own.flatMap((leaf) =>
    Object.entries(leaf.tensors)
      .filter(([, { scales }]) => scales)
      .map(([name, weight]) => changeOf(leaf, name, () => castToFloat(weight))),
  );
  if (changes.length === 0 || wanted) return changes;
  const values =
    "give dequantize (--dequantize) to write the values that it has now, or requantize (--requantize) to quantise them again";
  if ([...tensors.values()].some(({ packed }) => packed))
    return fail(
      "merge",
      `the base is quantised in its own files: ${changes.length} of its matrices cannot take a change and stay in that format`,
      `merge into the unquantised repository of this model; or ${values}`,
    );
  return fail(
    "merge",
    `the base is quantised, and ${changes.length} of its matrices are no longer those of the checkpoint`,
    `load it without quantization to merge into the original; or ${values}`,
  );
}

/** What the checkpoint lacks and the model has at random, by the model's own name: the rest of a new head. */
function initialisedTensors({ root, initialised }: LoadedModel): [string, Change][] {
  const names = new Set(initialised);
  return [...modules(root)].filter(isLeaf).flatMap((leaf) =>
    Object.entries(leaf.tensors)
      .filter(([name]) => names.has(`${leaf.path}.${name}`))
      .map(([name, tensor]) => changeOf(leaf, name, () => tensor.words)),
  );
}

/** A file's bytes, one after another: the header, then each tensor's. */
async function* weightsFile(checkpoint: Checkpoint, sources: readonly Source[]): AsyncIterable<Uint8Array> {
  const { header, tensors } = planSafetensors(
    sources.map(({ spec }) => spec),
    { format: "pt" },
  );
  yield header;
  const byName = new Map(sources.map((source) => [source.spec.name, source]));
  for (const { name } of tensors) yield* tensorBytes(checkpoint, byName.get(name) as Source);
}

async function* tensorBytes(
  { read }: Checkpoint,
  { spec, stored, change, bytes }: Source,
): AsyncIterable<Uint8Array> {
  if (bytes) yield await bytes();
  else if (change) {
    const values = await change.values();
    checkRange(values, spec);
    yield encode(values, spec);
  } else if (stored) {
    const size = stored.end - stored.begin;
    for (let start = 0; start < size; start += CHUNK_BYTES) {
      yield await read(stored, start, Math.min(start + CHUNK_BYTES, size));
    }
  }
}

/** As transformers' `save_pretrained` writes it. */
function indexFile(layout: ReadonlyMap<string, readonly Source[]>): string {
  const placed = [...layout].flatMap(([file, sources]) => sources.map(({ spec }) => ({ ...spec, file })));
  const sum = (count: (spec: TensorSpec) => number) => placed.reduce((all, spec) => all + count(spec), 0);
  const total_parameters = sum(({ shape }) => elementCount(shape));
  const total_size = sum(({ dtype, shape }) => byteLength(dtype, shape));
  const weight_map = Object.fromEntries(placed.map(({ name, file }) => [name, file]));
  return `${pythonJson({ metadata: { total_parameters, total_size }, weight_map })}\n`;
}

/** The checkpoint's config with what is different about this model: its class, the classes of its head, tying. */
function mergedConfig(text: string, config: HfConfig, model: LoadedModel): string {
  const base = planModel(config, model.task).build(model.device, shapeWeights(model.device).root);
  base.release();
  const changes = new Map<string, unknown>(QUANTISATION_FIELDS.map((field) => [field, undefined]));
  const isSame = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);
  for (const field of model.layerReplication ? ["num_hidden_layers", "layer_types"] : []) {
    if (config[field] !== undefined) changes.set(field, config[field]);
  }
  if (!isSame(config.architectures, [model.architecture])) changes.set("architectures", [model.architecture]);
  if ("labels" in model && "labels" in base && !isSame(model.labels, base.labels)) {
    const { id2label, label2id } = withLabels(config, model.labels);
    changes.set("id2label", id2label).set("label2id", label2id).set("num_labels", undefined);
  }
  // A stored output layer that differs from the embedding is the model's own, whatever the config says.
  if ("tied" in model && "tied" in base && model.tied !== base.tied) {
    changes.set("tie_word_embeddings", model.tied);
  }
  const padding = model.tokenizer?.padTokenId;
  if (readsLastToken(model) && typeof config.pad_token_id !== "number" && padding !== undefined) {
    changes.set("pad_token_id", padding);
  }
  return editJson(text, changes);
}

/** Whether the class in transformers finds a text's last token by the padding id, as a decoder's classifier does. */
function readsLastToken({ task, root }: LoadedModel): boolean {
  return task === "sequence-classification" && root.children.some(({ path }) => path === "score");
}
