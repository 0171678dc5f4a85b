import { isLinear } from "../../nn/linear.ts";
import { isLeaf, type Leaf, type Module, modules } from "../../nn/module.ts";
import { fail } from "../../util/fail.ts";
import type { Obstacle } from "../config-fields.ts";
import type { Adaptable, Site, TrainedTensors } from "../method.ts";
import { listed } from "../stored-tensors.ts";
import { findWhole, type WholeOptions } from "../trained-whole.ts";
import { tiedWhole } from "./lora-sites.ts";

// The model's own biases that LoRA trains (PEFT's `bias`), and those of lora_B (`lora_bias`).

/** PEFT's words for the biases that are trained. */
export type BiasChoice = "none" | "all" | "lora_only";

/** All of them. */
export const BIAS_CHOICES: readonly BiasChoice[] = ["none", "all", "lora_only"];

interface SavedOptions {
  readonly bias: BiasChoice;
  readonly ensureWeightTying: boolean;
}

/** Tensors of the model that are trained beside LoRA: modules that are trained whole, and biases. */
export function savedTensors(
  model: Adaptable,
  { bias, ensureWeightTying, ...whole }: WholeOptions & SavedOptions,
  adapted: () => readonly Module[],
): TrainedTensors[] {
  const found = ensureWeightTying ? tiedWhole(model, findWhole(model, whole)) : findWhole(model, whole);
  if (bias === "none") return found;
  if (model.layerReplication) {
    const got = `bias is ${bias}, and the model's layers are stacked anew (layer_replication): copies share their biases`;
    fail("lora", got, "train none of them: bias none");
  }
  const taken = new Set<Module>(found.map(({ module }) => module));
  const biased = biasedLeaves(model, bias, new Set(adapted().map(({ path }) => path)));
  return [
    ...found,
    ...biased.filter((leaf) => !taken.has(leaf)).map((module) => ({ module, names: ["bias"] })),
  ];
}

/** The modules whose biases a choice names. */
function biasedLeaves({ root }: Adaptable, bias: string, adapted: ReadonlySet<string>): Leaf[] {
  if (bias === "none") return [];
  const leaves = [...modules(root)].filter(isLeaf).filter(({ tensors }) => tensors.bias !== undefined);
  return bias === "all" ? leaves : leaves.filter(({ path }) => adapted.has(path));
}

/** A stored bias by the model's own name: PEFT's has `base_layer` in it where the layer is adapted. */
export function ownBias(plain: string, bias: string | undefined): string | undefined {
  if (bias === undefined || bias === "none" || !plain.endsWith(".bias") || plain.includes("lora_"))
    return undefined;
  return plain.replace(/\.base_layer\.bias$/, ".bias");
}

/** What a trained bias is called in PEFT's file, behind the prefix. */
export function biasInFile(name: string, isAdapted: (path: string) => boolean): string {
  const path = name.slice(0, Math.max(0, name.lastIndexOf(".")));
  return name.endsWith(".bias") && isAdapted(path) ? `${path}.base_layer.bias` : name;
}

/** The biases that the configuration says were trained and the file lacks. */
export function missingBiases(
  model: Adaptable,
  bias: string,
  adapted: ReadonlySet<string>,
  stored: ReadonlySet<string>,
): Obstacle[] {
  const wanted = biasedLeaves(model, bias, adapted).map(({ path }) => `${path}.bias`);
  const missing = wanted.filter((name) => !stored.has(name));
  if (missing.length === 0) return [];
  const problem = `bias is ${JSON.stringify(bias)}, and the file lacks trained biases: ${listed(missing)}`;
  return [{ problem, remedy: 'where they were not trained, set bias to "none" in adapter_config.json' }];
}

/** Why the bias of lora_B can't be merged, where its layer has none that could take it up. */
export function biasWithoutPlace({ module, tensors }: Site): string[] {
  if (!tensors.lora_bias || !isLinear(module) || module.bias) return [];
  return [`${module.path} has no bias that could take up that of lora_B (lora_bias)`];
}
