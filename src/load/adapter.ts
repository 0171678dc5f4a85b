import { type Adaptable, type Adapter, attach } from "../adapters/adapter.ts";
import type { Lora } from "../adapters/lora.ts";
import type { FileContent, FileSource } from "../io/files/files.ts";
import {
  type PeftAdapter,
  type PeftLoraConfig,
  peftFiles,
  peftLoraConfig,
  readPeftAdapter,
} from "../io/formats/peft.ts";
import { isTensorOf } from "../io/formats/peft-tensors.ts";
import { taskOfArchitecture } from "../models/families.ts";
import { isLinear } from "../nn/linear.ts";
import { isLeaf, type Leaf, type Module, modules } from "../nn/module.ts";
import { readParameters } from "../nn/parameters.ts";
import { ownName } from "../nn/weights.ts";
import { fail, failAll } from "../util/fail.ts";
import { methodOf, writtenPatterns, writtenTargets } from "./adapter-targets.ts";
import type { LoadedModel } from "./model.ts";

/** PEFT's names of the tasks that it knows; of other tasks it notes the model's class. */
const TASK_TYPES: Readonly<Record<string, string>> = {
  "causal-lm": "CAUSAL_LM",
  "sequence-classification": "SEQ_CLS",
  "token-classification": "TOKEN_CLS",
  "sentence-embedding": "FEATURE_EXTRACTION",
};

/**
 * The two files that PEFT's `save_pretrained` writes for this adapter: `adapter_config.json` and
 * `adapter_model.safetensors`.
 */
export async function adapterFiles(adapter: Adapter<Lora>): Promise<Map<string, FileContent>> {
  const { method, sites, saved } = adapter;
  const values = await readParameters(adapter.parameters);
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
  return peftFiles({ config: peftConfig(adapter), tensors: new Map(tensors), saved: new Map(whole) });
}

function peftConfig(adapter: Adapter<Lora>) {
  const { method, sites, saved, base } = adapter;
  const { r, alpha, dropout, useRslora, modulesToSave } = method.options;
  const task = TASK_TYPES[base.task ?? ""] ?? null;
  return peftLoraConfig({
    r,
    lora_alpha: alpha,
    lora_dropout: dropout,
    use_rslora: useRslora,
    ...writtenTargets(adapter),
    ...writtenPatterns(adapter),
    // Where there is one layer of the kind, PEFT sets the flag for all and each layer corrects it for itself.
    fan_in_fan_out: sites.some(({ module }) => isLinear(module) && module.fanInFanOut),
    ...(saved.length > 0 && { modules_to_save: savedNames(modulesToSave, base) }),
    task_type: task,
    auto_mapping: task === null ? autoMapping(base) : null,
    base_model_name_or_path: base.name ?? null,
  });
}

/** As PEFT, which adds the usual names of a head to those that are given, whether or not the model has them. */
function savedNames(given: readonly string[] = [], { headModules = [] }: Adaptable): string[] {
  return [...new Set([...headModules, ...given])];
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
  /** Told what about the files deserves attention but is no error, one line at a time. */
  onWarning?: (warning: string) => void;
}

/**
 * Loads a PEFT LoRA adapter onto a model.
 * @throws LoraError where the adapter is of another task, and listing every tensor that the model has no place for or
 * whose shape differs.
 */
export async function loadAdapter(
  model: LoadedModel,
  files: FileSource,
  { onWarning }: LoadAdapterOptions = {},
): Promise<Adapter<Lora>> {
  const read = renamed(await readPeftAdapter(files), model);
  for (const warning of read.warnings) onWarning?.(warning);
  checkTask(model, read.config, files.label);
  const head = "labels" in model ? "; where its head has other classes, name them as labels (--labels)" : "";
  failAll(files.label, mismatches(model, read), `is this adapter made for ${model.name}?${head}`);
  // PEFT names `score` beside `classifier`, of which a model has one.
  const isThere = (name: string) => [...read.saved.keys()].some((tensor) => isTensorOf(tensor, name));
  const names = [...new Set(read.config.modules_to_save)].filter(isThere);
  const adapter = attach(model, methodOf(model, read, names));
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
  return adapter;
}

/** An adapter of another task may fit all the same, and would mean nothing. */
function checkTask(
  { task, name }: LoadedModel,
  { task_type, auto_mapping }: PeftLoraConfig,
  label: string,
): void {
  const known = Object.keys(TASK_TYPES).find((task) => TASK_TYPES[task] === task_type);
  const own = known ?? taskOfArchitecture(String(auto_mapping?.base_model_class));
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

function mismatches(model: LoadedModel, { tensors, saved }: PeftAdapter): string[] {
  const all = [...modules(model.root)];
  const linears = new Map(all.filter(isLinear).map((module) => [module.path, module]));
  const pairs = [...tensors].flatMap(([path, { lora_A, lora_B }]) => {
    const linear = linears.get(path);
    if (!linear) return [`${path} is no linear layer of the model`];
    const { inFeatures, outFeatures } = linear;
    if (lora_A.shape[1] === inFeatures && lora_B.shape[0] === outFeatures) return [];
    return [
      `${path}: A [${lora_A.shape}], B [${lora_B.shape}] do not fit a layer of ${inFeatures} → ${outFeatures}`,
    ];
  });
  return [...pairs, ...savedMismatches(all.filter(isLeaf), saved)];
}

/** A module that was trained whole has all its tensors in the file, of the model's shapes. */
function savedMismatches(leaves: readonly Leaf[], saved: PeftAdapter["saved"]): string[] {
  const shapes = new Map<string, readonly number[]>(
    leaves.flatMap(({ path, tensors }) =>
      Object.entries(tensors).map(([name, { shape }]) => [`${path}.${name}`, shape] as const),
    ),
  );
  const wrong = [...saved].flatMap(([name, { shape }]) => {
    const wanted = shapes.get(name);
    if (!wanted) return [`${name} [${shape}] is no tensor of the model`];
    return String(wanted) === String(shape) ? [] : [`${name} is [${shape}], the model has [${wanted}]`];
  });
  const touched = leaves.filter(({ path, tensors }) =>
    Object.keys(tensors).some((name) => saved.has(`${path}.${name}`)),
  );
  const missing = touched.flatMap(({ path, tensors }) =>
    Object.keys(tensors)
      .map((name) => `${path}.${name}`)
      .filter((name) => !saved.has(name)),
  );
  return [...wrong, ...missing.map((name) => `${name} is missing in the file`)];
}
