import { type Adapter, attach } from "../adapters/adapter.ts";
import { type Lora, lora } from "../adapters/lora.ts";
import type { FileContent, FileSource } from "../io/files.ts";
import { type PeftAdapter, peftFiles, peftLoraConfig, readPeftAdapter } from "../io/peft.ts";
import { isLinear } from "../nn/linear.ts";
import { modules } from "../nn/module.ts";
import { readParameters } from "../nn/parameters.ts";
import { failAll } from "../util/fail.ts";
import type { Model } from "./model.ts";

/**
 * The two files that PEFT's `save_pretrained` writes for this adapter: `adapter_config.json` and
 * `adapter_model.safetensors`.
 */
export async function adapterFiles(adapter: Adapter<Lora>): Promise<Map<string, FileContent>> {
  const { method, sites, baseModel } = adapter;
  const values = await readParameters(adapter.parameters);
  const tensors = sites.map(({ module: { path }, tensors }) => {
    const tensor = (name: "lora_A" | "lora_B") => ({
      shape: tensors[name]?.shape ?? [],
      data: values.get(`${path}.${name}`) as Float32Array,
    });
    return [path, { ...method.rankOf(path), lora_A: tensor("lora_A"), lora_B: tensor("lora_B") }] as const;
  });
  return peftFiles({
    config: peftConfig(
      method,
      sites.map(({ module }) => module.path),
      baseModel,
    ),
    tensors: new Map(tensors),
  });
}

function peftConfig({ options }: Lora, paths: readonly string[], baseModel: string | undefined) {
  const { r, alpha, dropout, useRslora, targetModules } = options;
  const names = new Set(paths.map((path) => path.slice(path.lastIndexOf(".") + 1)));
  return peftLoraConfig({
    r,
    lora_alpha: alpha,
    lora_dropout: dropout,
    use_rslora: useRslora,
    target_modules:
      targetModules === undefined || typeof targetModules === "string" ? [...names] : [...targetModules],
    task_type: "CAUSAL_LM",
    base_model_name_or_path: baseModel ?? null,
  });
}

/**
 * Loads a PEFT LoRA adapter onto a model.
 * @throws LoraError listing every tensor that the model has no place for or whose shape differs.
 */
export async function loadAdapter(model: Model, files: FileSource): Promise<Adapter<Lora>> {
  const saved = await readPeftAdapter(files);
  failAll(files.label, mismatches(model, saved), `is this adapter made for ${model.name}?`);
  const overrides = new Map([...saved.tensors].map(([path, { r, alpha }]) => [path, { r, alpha }]));
  const { r, lora_alpha: alpha, lora_dropout: dropout, use_rslora: useRslora } = saved.config;
  const method = lora({ r, alpha, dropout, useRslora, overrides, targetModules: [...saved.tensors.keys()] });
  const adapter = attach(model, method);
  for (const { module, tensors } of adapter.sites) {
    const stored = saved.tensors.get(module.path);
    if (!stored) continue;
    tensors.lora_A?.write(stored.lora_A.data);
    tensors.lora_B?.write(stored.lora_B.data);
  }
  return adapter;
}

function mismatches(model: Model, { tensors }: PeftAdapter): string[] {
  const linears = new Map([...modules(model.root)].filter(isLinear).map((module) => [module.path, module]));
  return [...tensors].flatMap(([path, { lora_A, lora_B }]) => {
    const linear = linears.get(path);
    if (!linear) return [`${path} is no linear layer of the model`];
    const { inFeatures, outFeatures } = linear;
    if (lora_A.shape[1] === inFeatures && lora_B.shape[0] === outFeatures) return [];
    return [
      `${path}: A [${lora_A.shape}], B [${lora_B.shape}] do not fit a layer of ${inFeatures} → ${outFeatures}`,
    ];
  });
}
