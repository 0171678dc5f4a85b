import { type Adapter, attach } from "../adapters/adapter.ts";
import { ADAPTER_HUB_FILES } from "../adapters/bottleneck/adapter-hub-files.ts";
import { configOf, type PeftConfig } from "../adapters/config-fields.ts";
import type { Adaptable, SiteTensors } from "../adapters/method.ts";
import { methodKind } from "../adapters/method-kinds.ts";
import { requireAdapter } from "../adapters/owners.ts";
import { isTensorOf } from "../adapters/trained-whole.ts";
import type { FileContent, FileSource } from "../io/files/files.ts";
import { PEFT_CONFIG, PEFT_WEIGHTS } from "../io/formats/peft-names.ts";
import { CHAT_TEMPLATE_FILE } from "../io/tokenizer/chat-templates.ts";
import { type Parameter, type Parameters, readBeside, readParameters } from "../nn/parameters.ts";
import { ownName } from "../nn/weights.ts";
import { fail, failAll } from "../util/fail.ts";
import { spoiltTensors } from "../util/finite.ts";
import type { HostTensor } from "../util/host-tensor.ts";
import { asText } from "../util/json.ts";
import { checkOptions, objectOf, type Rules, text } from "../util/options.ts";
import type { CardNotes } from "./adapter-card.ts";
import { checkBase, checkFits, withoutUnused } from "./adapter-fit.ts";
import { adapterRemarks, checkArchitecture } from "./adapter-remarks.ts";
import { storedAdapterFiles } from "./adapter-writer.ts";
import type { LoadedModel } from "./model.ts";
import { originalWeights } from "./original-weights.ts";
import { tokenizerFiles, vocabularyMatrices } from "./resized-vocabulary.ts";
import { type ReadAdapter, readStoredAdapter } from "./stored-adapter.ts";

/** PEFT's names of the tasks that it knows; of other tasks it notes the model's class. */
const TASK_TYPES: Readonly<Record<string, string>> = {
  "causal-lm": "CAUSAL_LM",
  "sequence-classification": "SEQ_CLS",
  "token-classification": "TOKEN_CLS",
  "sentence-embedding": "FEATURE_EXTRACTION",
};

/** Names of a classifier's classes, in order: beside PEFT's files, which have no place for them. */
export const LABELS_FILE = "labels.json";

/** What is saved with an adapter. */
export interface SaveAdapterOptions {
  /** The Jinja template that it learnt chats by, for `chat_template.jinja`, where transformers looks for it. */
  chatTemplate?: string;
  /** What its model card, `README.md`, tells of the training; `{}` writes one of the adapter alone. None unless given. */
  card?: CardNotes | undefined;
}

const SAVE_RULES: Rules<SaveAdapterOptions> = {
  chatTemplate: text("chat_template"),
  card: objectOf("an object of notes", () => true),
};

/** The files that an adapter's tensors may lie in. */
export const ADAPTER_WEIGHTS: readonly string[] = [PEFT_WEIGHTS, ADAPTER_HUB_FILES.weights];

/** What is beside them for some adapters and not for others. */
const COMPANIONS = [LABELS_FILE, ...Object.values(ADAPTER_HUB_FILES.head)];

/** All that {@link adapterFiles} may give, but for the tokenizer of a resized vocabulary. */
export const ADAPTER_FILES: readonly string[] = [
  PEFT_CONFIG,
  ...ADAPTER_WEIGHTS,
  ...COMPANIONS,
  CHAT_TEMPLATE_FILE,
];

/** What must not stay of an adapter whose place another one takes. */
export function isSupersededByAdapter(name: string): boolean {
  return ADAPTER_WEIGHTS.includes(name) || COMPANIONS.includes(name);
}

/**
 * The two files that PEFT's `save_pretrained` writes for this adapter, `adapter_config.json` and
 * `adapter_model.safetensors`, or those that AdapterHub has of a bottleneck adapter; for a classifier `labels.json`, the names of its classes, `chat_template.jinja`, of a resized vocabulary its tokenizer,
 * and the model card. Where the device is lost
 * they hold what training has last copied to the host; `adapter.parameters.mirror` says of which step that is.
 * @throws LoraError where the adapter was released, is of a method without such files, or holds NaN or infinity
 */
export async function adapterFiles(
  adapter: Adapter,
  options: SaveAdapterOptions = {},
): Promise<Map<string, FileContent>> {
  requireAdapter("saveAdapter", adapter);
  checkOptions("saveAdapter", options, SAVE_RULES);
  const cards = options.card && (await import("./adapter-card.ts"));
  if (cards && options.card) checkOptions("saveAdapter: card", options.card, cards.CARD_RULES);
  const { type } = adapter.method;
  const kind = await methodKind(type);
  if (!kind)
    return fail("saveAdapter", `${type} has no files of PEFT here`, "merge it, or read adapter.parameters");
  const { sites, shared, saved, base } = adapter;
  const values = await readTensors(adapter);
  // What a training leaves that diverged must not take the place of a good adapter.
  const byName = [...values].map(([{ name }, data]) => [name, data] as const);
  failAll("saveAdapter", spoiltTensors(byName), "train it again, at a lower learning rate");
  const dataOf = new Map([...values].map(([{ tensor }, data]) => [tensor, data]));
  const hosted = (tensors: SiteTensors) =>
    Object.entries(tensors).map(([name, tensor]): [string, HostTensor] => [
      name,
      { shape: tensor.shape, data: dataOf.get(tensor) as Float32Array },
    ]);
  const beside = Object.fromEntries(hosted(shared));
  const own = new Map(sites.map(({ module, tensors }) => [module.path, Object.fromEntries(hosted(tensors))]));
  const config = configOf(kind.codec, { ...modelConfig(adapter), ...kind.codec.write(adapter, own) });
  const files: Map<string, FileContent> = storedAdapterFiles(kind, {
    config,
    tensors: kind.codec.stored?.(own, adapter) ?? own,
    shared: { ...beside, ...adapter.method.computed?.(beside) },
    saved: new Map([
      ...saved.flatMap(({ module: { path }, tensors }) =>
        hosted(tensors).map(([name, tensor]) => [`${path}.${name}`, tensor] as const),
      ),
      ...(base.isResized ? await vocabularyMatrices(adapter) : []),
    ]),
  });
  const { files: source } = base as Partial<LoadedModel>;
  for (const [name, bytes] of base.isResized && source ? await tokenizerFiles(source) : [])
    files.set(name, bytes);
  if (base.labels) files.set(LABELS_FILE, `${JSON.stringify(base.labels, null, 2)}\n`);
  if (options.chatTemplate !== undefined) files.set(CHAT_TEMPLATE_FILE, options.chatTemplate);
  if (cards && options.card) files.set(cards.MODEL_CARD, cards.adapterCard(kind, config, base, options.card));
  return files;
}

/** The values of all tensors, trained or not, by their places. */
async function readTensors({ parameters, frozen }: Adapter): Promise<Map<Parameter, Float32Array>> {
  const valuesOf = ({ entries }: Parameters, values: ReadonlyMap<string, Float32Array>) =>
    entries.map((entry) => [entry, values.get(entry.name) as Float32Array] as const);
  return new Map([
    ...valuesOf(parameters, await readParameters(parameters)),
    ...(frozen ? valuesOf(frozen, await readBeside(parameters, frozen)) : []),
  ]);
}

/** The fields that every type has. */
function modelConfig(adapter: Adapter): Partial<PeftConfig> {
  const { base } = adapter;
  const task = taskTypeOf(adapter);
  return {
    task_type: task,
    auto_mapping: task === null ? autoMapping(base) : null,
    // PEFT loads the base by its repository and revision, each in a field of its own (`auto.py`).
    base_model_name_or_path: base.hub?.repo ?? base.name ?? null,
    // A branch moves on: where the commit is known, it stands for what the adapter was trained on.
    revision: base.hub?.commit ?? base.hub?.revision ?? null,
  };
}

/** PEFT's name of the task; none where the head is not trained, which PEFT would do for a task that it knows. */
function taskTypeOf({ saved, base: { task = "", headModules = [] } }: Adapter): string | null {
  // A bias alone may be trained for its own sake.
  const tensors = saved.filter(({ tensors }) => tensors.weight).map(({ module }) => `${module.path}.weight`);
  const trainsHead = tensors.some((tensor) => headModules.some((head) => isTensorOf(tensor, head)));
  return headModules.length > 0 && !trainsHead ? null : (TASK_TYPES[task] ?? null);
}

/** What PEFT notes where no task is given: the class, and the module of transformers that defines it. */
function autoMapping({ architecture, modelType }: Adaptable) {
  if (architecture === undefined || modelType === undefined) return null;
  const name = modelType.replaceAll("-", "_");
  const parent_library = `transformers.models.${name}.modeling_${name}`;
  return { base_model_class: architecture, parent_library };
}

/** Options of {@link loadAdapter}. */
export interface LoadAdapterOptions {
  /** Tells it from the other adapters of the model; `default` unless given. */
  name?: string | undefined;
  /** Called with what deserves attention but is no error, one line at a time. */
  onWarning?: ((warning: string) => void) | undefined;
  /** Refuse one that was trained on another base model, or that has no effect, which are warnings else. False unless given. */
  strict?: boolean | undefined;
}

/**
 * Loads an adapter of PEFT's, or a bottleneck adapter of AdapterHub's, of any method of the registry, onto a model.
 * Told as warnings: another base model or revision than the adapter names, and an adapter without any effect.
 * @throws LoraError where the adapter is of another task or architecture; listing every tensor that the model has no place for, whose
 * shape differs or that is missing; and where a part of the model starts at random that the adapter does not bring.
 */
export async function loadAdapter(
  model: LoadedModel,
  files: FileSource,
  { onWarning, name, strict = false }: LoadAdapterOptions = {},
): Promise<Adapter> {
  const stored = renamed(await readStoredAdapter(files), model);
  await checkTask(model, stored.config, files.label);
  checkArchitecture(model, stored.config, files.label);
  const { adapter: read, warnings } = withoutUnused(model, stored);
  const { doubts, notes } = adapterRemarks(model, read);
  checkFits(model, read, { label: files.label, doubts: strict ? doubts : [] });
  await checkBase(model, read, files.label);
  const remarks = [...stored.warnings, ...warnings, ...notes, ...doubts];
  for (const warning of remarks) onWarning?.(warning);
  const { codec, restore } = read.kind;
  const method = codec.read(model, read);
  const adapter = attach(model, (await restore?.(model, method, originalWeights(model))) ?? method, { name });
  try {
    writeTensors(adapter, read);
    await model.device.check(); // there may be no memory for it
  } catch (error) {
    adapter.release();
    throw error;
  }
  return adapter;
}

function writeTensors({ sites, shared, saved }: Adapter, read: ReadAdapter): void {
  const write = (tensors: SiteTensors, valuesOf: (name: string) => HostTensor | undefined) => {
    for (const [name, tensor] of Object.entries(tensors)) {
      const values = valuesOf(name);
      if (values && values.data.length > 0) tensor.write(values.data); // nothing is left of some ranks
    }
  };
  for (const { module, tensors } of sites) {
    const stored = read.tensors.get(module.path) ?? {};
    const own = read.kind.codec.held?.(stored) ?? stored;
    write(tensors, (name) => own[name]);
  }
  write(shared, (name) => read.shared[name]);
  for (const { module, tensors } of saved) write(tensors, (name) => read.saved.get(`${module.path}.${name}`));
}

/** An adapter of another task may fit all the same, and would mean nothing. */
async function checkTask(
  { task, name }: LoadedModel,
  { task_type, auto_mapping }: PeftConfig,
  label: string,
): Promise<void> {
  const known = Object.keys(TASK_TYPES).find((task) => TASK_TYPES[task] === task_type);
  const base = asText(auto_mapping?.base_model_class);
  const own = known ?? (base && (await import("../models/families.ts")).taskOfArchitecture(base));
  if (own === undefined || own === task) return;
  const got = `is an adapter for ${own}, and ${name} was loaded for ${task}`;
  fail(label, got, `load the model for ${own}, or give an adapter for ${task}`);
}

/** The adapter with the names of other versions turned into the model's own. */
function renamed(adapter: ReadAdapter, { renames }: LoadedModel): ReadAdapter {
  const rename = <T>(entries: ReadonlyMap<string, T>) =>
    new Map([...entries].map(([name, value]) => [ownName(renames, name), value]));
  const { tensors, saved, base } = adapter;
  return { ...adapter, tensors: rename(tensors), saved: rename(saved), base: rename(base) };
}
