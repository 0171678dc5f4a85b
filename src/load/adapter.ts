import { type Adaptable, type Adapter, attach, type Method, requireAdapter } from "../adapters/adapter.ts";
import type { Lora } from "../adapters/lora.ts";
import { wholeNames } from "../adapters/trained-whole.ts";
import type { FileContent, FileSource } from "../io/files/files.ts";
import {
  type PeftAdapter,
  type PeftLoraConfig,
  peftFiles,
  peftLoraConfig,
  readPeftAdapter,
} from "../io/formats/peft.ts";
import { CHAT_TEMPLATE_FILE } from "../io/tokenizer/chat-templates.ts";
import { taskOfArchitecture } from "../models/families.ts";
import { isLinear } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import { readParameters } from "../nn/parameters.ts";
import { ownName } from "../nn/weights.ts";
import { fail, failAll } from "../util/fail.ts";
import { spoiltTensors } from "../util/finite.ts";
import { asText } from "../util/json.ts";
import { checkOptions, type Rules, text } from "../util/options.ts";
import { checkFits, withoutUnused } from "./adapter-fit.ts";
import { methodOf, writtenPatterns, writtenTargets } from "./adapter-targets.ts";
import type { LoadedModel } from "./model.ts";

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
}

const SAVE_RULES: Rules<SaveAdapterOptions> = { chatTemplate: text("chat_template") };

/** All that {@link adapterFiles} may give. */
export const ADAPTER_FILES: readonly string[] = [
  "adapter_config.json",
  "adapter_model.safetensors",
  LABELS_FILE,
  CHAT_TEMPLATE_FILE,
];

/** What must not stay of an adapter whose place another one takes. */
export function isSupersededByAdapter(name: string): boolean {
  return name === LABELS_FILE;
}

/**
 * The two files that PEFT's `save_pretrained` writes for this adapter, `adapter_config.json` and
 * `adapter_model.safetensors`, for a classifier `labels.json`, the names of its classes, and `chat_template.jinja`. Where the device is lost
 * they hold what training has last copied to the host; `adapter.parameters.mirror` says of which step that is.
 * @throws LoraError where the adapter was released, is of a method without such files, or holds NaN or infinity
 */
export async function adapterFiles(
  adapter: Adapter<Lora>,
  options: SaveAdapterOptions = {},
): Promise<Map<string, FileContent>> {
  requireAdapter("saveAdapter", adapter);
  checkOptions("saveAdapter", options, SAVE_RULES);
  const { type }: Method = adapter.method; // a caller without types may bring another
  if (type !== "LORA")
    fail("saveAdapter", `${type} has no files of PEFT here`, "merge it, or read adapter.parameters");
  const { method, sites, saved } = adapter;
  const values = await readParameters(adapter.parameters);
  // What a training leaves that diverged must not take the place of a good adapter.
  failAll("saveAdapter", spoiltTensors(values), "train it again, at a lower learning rate");
  const stored = (module: Module, name: string, shape: readonly number[]) => ({
    shape,
    data: values.get(`${module.path}.${name}`) as Float32Array,
  });
  const tensors = sites.map(({ module, tensors }) => {
    const tensor = (name: "lora_A" | "lora_B") => stored(module, name, tensors[name]?.shape ?? []);
    const pair = { lora_A: tensor("lora_A"), lora_B: tensor("lora_B") };
    return [module.path, { ...method.rankOf(module.path), ...pair }] as const;
  });
  const whole = saved.flatMap(({ module, tensors }) =>
    Object.entries(tensors).map(
      ([name, { shape }]) => [`${module.path}.${name}`, stored(module, name, shape)] as const,
    ),
  );
  const files = peftFiles({ config: peftConfig(adapter), tensors: new Map(tensors), saved: new Map(whole) });
  const { labels } = adapter.base;
  if (labels) files.set(LABELS_FILE, `${JSON.stringify(labels, null, 2)}\n`);
  if (options.chatTemplate !== undefined) files.set(CHAT_TEMPLATE_FILE, options.chatTemplate);
  return files;
}

function peftConfig(adapter: Adapter<Lora>) {
  const { method, sites, saved, base } = adapter;
  const { r, alpha, dropout, useRslora } = method.options;
  const task = taskTypeOf(adapter);
  return peftLoraConfig({
    r,
    lora_alpha: alpha,
    lora_dropout: dropout,
    use_rslora: useRslora,
    ...writtenTargets(adapter),
    ...writtenPatterns(adapter),
    // Where there is one layer of the kind, PEFT sets the flag for all and each layer corrects it for itself.
    fan_in_fan_out: sites.some(({ module }) => isLinear(module) && module.fanInFanOut),
    ...(saved.length > 0 && { modules_to_save: wholeNames(base, method.options) }),
    ...(method.init !== undefined && { init_lora_weights: method.init }),
    task_type: task,
    auto_mapping: task === null ? autoMapping(base) : null,
    // PEFT loads the base by its repository and revision, each in a field of its own (`auto.py`).
    base_model_name_or_path: base.hub?.repo ?? base.name ?? null,
    revision: base.hub?.revision ?? null,
  });
}

/** PEFT's name of the task; none where the head is not trained, which PEFT would do for a task that it knows. */
function taskTypeOf({ method, base }: Adapter<Lora>): string | null {
  const hasHead = (base.headModules ?? []).length > 0;
  if (hasHead && method.options.trainHead === false) return null;
  return TASK_TYPES[base.task ?? ""] ?? null;
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
}

/**
 * Loads a PEFT LoRA adapter onto a model.
 * @throws LoraError where the adapter is of another task; listing every tensor that the model has no place for, whose
 * shape differs or that is missing; and where a part of the model starts at random that the adapter does not bring.
 */
export async function loadAdapter(
  model: LoadedModel,
  files: FileSource,
  { onWarning, name }: LoadAdapterOptions = {},
): Promise<Adapter<Lora>> {
  const stored = renamed(await readPeftAdapter(files), model);
  checkTask(model, stored.config, files.label);
  const { adapter: read, warnings } = withoutUnused(model, stored);
  for (const warning of [...stored.warnings, ...warnings]) onWarning?.(warning);
  checkFits(model, read, files.label);
  const adapter = attach(model, methodOf(model, read), { ...(name !== undefined && { name }) });
  try {
    writeTensors(adapter, read);
    await model.device.check(); // there may be no memory for it
  } catch (error) {
    adapter.release();
    throw error;
  }
  return adapter;
}

function writeTensors(adapter: Adapter, read: PeftAdapter): void {
  for (const { module, tensors } of adapter.sites) {
    const stored = read.tensors.get(module.path);
    if (!stored) continue;
    tensors.lora_A?.write(stored.lora_A.data);
    tensors.lora_B?.write(stored.lora_B.data);
  }
  for (const { module, tensors } of adapter.saved) {
    for (const [name, tensor] of Object.entries(tensors)) {
      tensor.write(read.saved.get(`${module.path}.${name}`)?.data as Float32Array);
    }
  }
}

/** An adapter of another task may fit all the same, and would mean nothing. */
function checkTask(
  { task, name }: LoadedModel,
  { task_type, auto_mapping }: PeftLoraConfig,
  label: string,
): void {
  const known = Object.keys(TASK_TYPES).find((task) => TASK_TYPES[task] === task_type);
  const own = known ?? taskOfArchitecture(asText(auto_mapping?.base_model_class) ?? "");
  if (own === undefined || own === task) return;
  const got = `is an adapter for ${own}, and ${name} was loaded for ${task}`;
  fail(label, got, `load the model for ${own}, or give an adapter for ${task}`);
}

/** The adapter with the names of other versions turned into the model's own. */
function renamed(adapter: PeftAdapter, { renames }: LoadedModel): PeftAdapter {
  const rename = <T>(entries: ReadonlyMap<string, T>) =>
    new Map([...entries].map(([name, value]) => [ownName(renames, name), value]));
  return { ...adapter, tensors: rename(adapter.tensors), saved: rename(adapter.saved) };
}
