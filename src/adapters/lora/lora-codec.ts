import { isLinear } from "../../nn/linear.ts";
import { type Module, modules } from "../../nn/module.ts";
import { isSameReplication, type LayerReplication, replicationOf } from "../../nn/replicate.ts";
import { patternMatcher } from "../../util/module-patterns.ts";
import type { Adapter } from "../adapter.ts";
import type { BeginGiven, Codec, MethodKind, StoredAdapter } from "../codec.ts";
import { configOf, type Obstacle } from "../config-fields.ts";
import { chosenBy, readWhole, writtenTargets } from "../config-targets.ts";
import type { Adaptable, Site } from "../method.ts";
import { type RankAndAlpha, sortedPattern } from "../sites/patterns.ts";
import { fitting, patternWarnings, uselessKeys } from "../sites/stored-ranks.ts";
import { isExcluded } from "../sites/targets.ts";
import { readsWeights, takesFromWeight } from "./initial/lora-start.ts";
import { startLora } from "./initial/start-lora.ts";
import { type Lora, lora } from "./lora.ts";
import { type BiasChoice, biasInFile, missingBiases, ownBias } from "./lora-biases.ts";
import { LORA_FIELDS, LORA_FLOATS, loraFindings } from "./lora-config.ts";
import type { PeftLoraConfig } from "./lora-fields.ts";
import { foreignLoraTensor } from "./lora-foreign.ts";
import { LORA_OPTIONS } from "./lora-options.ts";
import { isTied, type TokenIndices } from "./lora-sites.ts";
import {
  branchesOf,
  checkStored,
  heldTensors,
  isVocabulary,
  keptTensors,
  misfitOf,
  tieMisfits,
  writtenTensors,
} from "./lora-stored.ts";
import { trainingLock } from "./lora-variants.ts";

type Stored = StoredAdapter<PeftLoraConfig>;

const codec: Codec<Lora, PeftLoraConfig> = {
  fields: LORA_FIELDS,
  floats: LORA_FLOATS,
  tensors: {
    lora_A: "lora_A.weight",
    lora_B: "lora_B.weight",
    lora_magnitude_vector: "lora_magnitude_vector",
    lora_bias: "lora_B.bias",
    lora_embedding_A: "lora_embedding_A",
    lora_embedding_B: "lora_embedding_B",
    token_rows: "token_adapter.trainable_tokens_delta",
  },
  findings: loraFindings,
  ownTensor: (plain, config) => ownBias(plain, config?.bias),
  isKept: isVocabulary,
  fileName: biasInFile,
  foreign: foreignLoraTensor,
  check: checkStored,
  misfit: misfitOf,
  warnings: ({ config, tensors }) => patternWarnings(config, [...branchesOf(tensors).keys()]),
  misfits: (model, stored) => [
    ...replicationMisfits(model, stored.config),
    ...biasMisfits(model, stored),
    ...tieMisfits(model, stored),
  ],
  read: loraOf,
  stored: writtenTensors,
  held: heldTensors,
  write: writtenConfig,
};

/** LoRA in the registry. */
export const LORA: MethodKind<Lora, PeftLoraConfig> = {
  type: "LORA",
  name: "lora",
  codec,
  options: LORA_OPTIONS,
  make: lora,
  begin,
  restore: (model, method, original) => startLora(model, method, { original }),
  remarks: (adapter) => [...uselessPatterns(adapter), ...halfOfPair(adapter)],
};

/** The method with its beginning: decomposing the weights takes a while, which is told. */
async function begin(model: Adaptable, method: Lora, given: BeginGiven): Promise<Lora> {
  const { seed, tell, original } = given;
  const { initWeights } = method.options;
  if (initWeights === "eva") {
    tell("Beginning as eva: decomposing what goes into the layers");
    return startLora(model, method, { seed, inputs: await given.inputs?.() });
  }
  if (readsWeights(initWeights)) tell(`Beginning as ${initWeights}: decomposing the weights`);
  return startLora(model, method, { seed, original });
}

/** A configuration with the defaults of PEFT 0.21.0. */
export function peftLoraConfig(given: Partial<PeftLoraConfig>): PeftLoraConfig {
  return configOf(codec, given);
}

/** PEFT warns of it, too: changed one by one, two modules of one matrix part. */
function halfOfPair({ method, sites, saved, base }: Adapter<Lora>): string[] {
  const head = [...modules(base.root)].filter(isLinear).find(({ tiedTo }) => tiedTo);
  if (!head?.tiedTo || method.options.ensureWeightTying) return [];
  const whole = saved.filter(({ tensors }) => tensors.weight);
  const branches = sites.filter((site) => isBranch(method, site));
  const changed = [...branches, ...whole].filter(({ module }) => module === head || module === head.tiedTo);
  if (changed.length === 0) return [];
  const paths = changed.map(({ module }) => module.path).join(" and ");
  return [
    `${head.path} and ${head.tiedTo.path} are one matrix, and ${paths} ${changed.length > 1 ? "are" : "is"} changed by itself: merging makes two of it; ensure_weight_tying changes both as one`,
  ];
}

/** As PEFT warns of them. */
function uselessPatterns({ method, sites, base }: Adapter<Lora>): string[] {
  const paths = sites.filter((site) => isBranch(method, site)).map(({ module }) => module.path);
  const { excludeModules = [] } = method.options;
  const excludes = [...modules(base.root)].some(({ path }) => isExcluded(path, excludeModules));
  return [
    ...uselessKeys(method.options, paths),
    ...(excludeModules.length > 0 && !excludes
      ? [`exclude_modules ${JSON.stringify(excludeModules)} leaves nothing out`]
      : []),
  ];
}

/** Other layers than those that it was trained on would be adapted by its numbers. */
function replicationMisfits(
  { layerReplication: own }: Adaptable,
  { layer_replication }: PeftLoraConfig,
): Obstacle[] {
  const wanted = replicationOf(layer_replication);
  if (isSameReplication(wanted, own)) return [];
  const text = (ranges: LayerReplication | undefined) => (ranges ? JSON.stringify(ranges) : "none");
  const problem = `layer_replication is ${text(wanted)}, and that of the model ${text(own)}`;
  const remedy = `load the model with ${wanted ? `layerReplication: ${text(wanted)}` : "no layerReplication"}; commands that name this adapter alone do so`;
  return [{ problem, remedy }];
}

function biasMisfits(model: Adaptable, { config, tensors, saved }: Stored): Obstacle[] {
  return missingBiases(model, config.bias, new Set(tensors.keys()), new Set(saved.keys()));
}

/** Rank, from the shapes, and alpha of each module of a stored adapter. */
export function storedRanks({
  config,
  tensors,
}: Pick<Stored, "config" | "tensors">): Map<string, RankAndAlpha> {
  const alphas = patternMatcher(config.alpha_pattern);
  const ranks = [...branchesOf(tensors)].map(([path, { A }]): [string, RankAndAlpha] => {
    return [path, { r: A.shape[0] as number, alpha: alphas(path)[0] ?? config.lora_alpha }];
  });
  return new Map(ranks);
}

/** Where tensors and patterns disagree, because of names of other versions or the order of the keys, tensors count. */
function loraOf(model: Adaptable, stored: Stored): Lora {
  const { config, tensors } = stored;
  const { r, lora_alpha: alpha, lora_dropout: dropout, init_lora_weights } = config;
  const { trainable_token_indices: tokens } = config;
  const { alora_invocation_tokens: invocation } = config;
  const { use_rslora: useRslora, use_dora: useDora, lora_bias: loraBias } = config;
  const { rank_pattern: rankPattern, alpha_pattern: alphaPattern } = fitting(config, storedRanks(stored));
  const rest = {
    r,
    alpha,
    dropout,
    useRslora,
    useDora,
    loraBias,
    bias: config.bias as BiasChoice,
    rankPattern,
    alphaPattern,
    ...loftqOptions(config),
    ensureWeightTying: config.ensure_weight_tying && isTied(model),
    ...(invocation !== null && invocation.length > 0 && { aloraInvocationTokens: invocation }),
    ...(tokens !== null && { trainableTokenIndices: tokens as TokenIndices }),
    ...readWhole(model, stored),
  };
  const paths = [...branchesOf(tensors).keys()];
  const make = (choice: object) => lora({ ...rest, ...choice });
  const method = chosenBy(model, config, paths, make, (chosen) => chosen.branches(model));
  const locked = trainingLock(config);
  return {
    ...method,
    saved(model) {
      const trained = method.saved?.(model) ?? [];
      return [...trained, ...keptTensors(model, stored, trained)];
    },
    init: init_lora_weights === "eva" ? true : init_lora_weights,
    ...(locked && { locked }),
  };
}

function evaConfig({
  evaRho: rho,
  evaTau: tau,
  evaWhiten: whiten,
  evaAdjustScalingFactors,
}: Lora["options"]) {
  const labels = { use_label_mask: true, label_mask_value: -100 };
  return { rho, tau, whiten, adjust_scaling_factors: evaAdjustScalingFactors, ...labels };
}

/** PEFT rounds the base again whenever it loads such an adapter. */
function loftqOptions({ init_lora_weights: init, loftq_config }: PeftLoraConfig) {
  if (init !== "loftq") return {};
  const { loftq_bits: bits = 4, loftq_iter: loftqIterations = 1 } = loftq_config as Record<string, number>;
  return { initWeights: "loftq" as const, loftqBits: bits as 4 | 8, loftqIterations };
}

/** Whether a site has an update, its own or an embedding's. */
function isBranch(method: Lora, { module }: Site): boolean {
  return method.roleOf(module).does.endsWith("branch");
}

/** The module whose update a module has. */
function sourceOf(method: Lora, module: Module): Module {
  const role = method.roleOf(module);
  return role.does === "tied branch" ? role.of : module;
}

function writtenConfig(adapter: Adapter<Lora>): Partial<PeftLoraConfig> {
  const { method } = adapter;
  const sites = adapter.sites.filter((site) => isBranch(method, site));
  const { dropout, useRslora, useDora, rankPattern, alphaPattern, initWeights, trainableTokenIndices } =
    method.options;
  // What began as a part of the weight is written as LoRA on the whole weight: twice the rank at the same scale.
  const times = takesFromWeight(initWeights)
    ? { r: 2, alpha: useRslora ? Math.SQRT2 : 2 }
    : { r: 1, alpha: 1 };
  const written = ({ r, alpha }: RankAndAlpha) => ({ r: r * times.r, alpha: alpha * times.alpha });
  const { r, alpha } = written(method.options);
  const ranks = new Map(
    sites.map(({ module }) => {
      const { path } = sourceOf(method, module);
      const own = method.rankOf(path);
      return [module.path, isLinear(module) && path === module.path ? written(own) : own];
    }),
  );
  const own = { r, lora_alpha: alpha, rank_pattern: rankPattern, alpha_pattern: alphaPattern };
  return {
    alora_invocation_tokens: method.invocation?.(adapter.base) ?? null,
    layer_replication: adapter.base.layerReplication ?? null,
    lora_dropout: dropout,
    use_rslora: useRslora,
    use_dora: useDora,
    lora_bias: method.options.loraBias,
    bias: method.options.bias,
    r,
    lora_alpha: alpha,
    ensure_weight_tying: method.options.ensureWeightTying,
    trainable_token_indices: trainableTokenIndices ?? null,
    ...writtenTargets({ base: adapter.base, sites }, method.options),
    // The user's own where they say after saving, which sorts them, what they said before.
    ...fitting(own, ranks, sortedPattern),
    // Where there is one layer of the kind, PEFT sets the flag for all and each layer corrects it for itself.
    fan_in_fan_out: sites.some(({ module }) => isLinear(module) && module.fanInFanOut),
    ...(method.init !== undefined && { init_lora_weights: method.init }),
    ...(method.init === "eva" && { eva_config: evaConfig(method.options) }),
    ...(method.init === "loftq" && {
      loftq_config: { loftq_bits: method.options.loftqBits, loftq_iter: method.options.loftqIterations },
    }),
  };
}
