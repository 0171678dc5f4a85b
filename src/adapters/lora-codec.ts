import { isLinear } from "../nn/linear.ts";
import { modules } from "../nn/module.ts";
import { patternMatcher } from "../util/module-patterns.ts";
import type { Adapter } from "./adapter.ts";
import type {
  BeginGiven,
  Codec,
  HostTensor,
  MethodKind,
  Note,
  SortedTensors,
  StoredAdapter,
  StoredInfo,
} from "./codec.ts";
import { configOf, type Obstacle } from "./config-fields.ts";
import { chosenBy, readWhole, writtenTargets } from "./config-targets.ts";
import { takesFromWeight } from "./initial/lora-start.ts";
import { onWholeWeight } from "./initial/plain.ts";
import { startLora } from "./initial/start-lora.ts";
import { type Lora, lora } from "./lora.ts";
import { type BiasChoice, biasInFile, missingBiases, ownBias } from "./lora-biases.ts";
import { LORA_FIELDS, LORA_FLOATS, loraFindings } from "./lora-config.ts";
import type { PeftLoraConfig } from "./lora-fields.ts";
import { foreignLoraTensor } from "./lora-foreign.ts";
import { LORA_OPTIONS } from "./lora-options.ts";
import { trainingLock } from "./lora-variants.ts";
import type { Adaptable } from "./method.ts";
import { type RankAndAlpha, sortedPattern } from "./patterns.ts";
import { checkRanks, fitting, patternWarnings, uselessKeys } from "./rank-patterns.ts";
import { requireTogether } from "./stored-tensors.ts";
import { isExcluded } from "./targets.ts";

type Stored = StoredAdapter<PeftLoraConfig>;

const codec: Codec<Lora, PeftLoraConfig> = {
  fields: LORA_FIELDS,
  floats: LORA_FLOATS,
  tensors: {
    lora_A: "lora_A.weight",
    lora_B: "lora_B.weight",
    lora_magnitude_vector: "lora_magnitude_vector",
    lora_bias: "lora_B.bias",
  },
  findings: loraFindings,
  ownTensor: (plain, config) => ownBias(plain, config?.bias),
  fileName: biasInFile,
  foreign: foreignLoraTensor,
  check(tensors, config, note) {
    const hasDora = config?.use_dora ?? [...tensors.values()].some((there) => there.lora_magnitude_vector);
    const hasBias = config?.lora_bias ?? [...tensors.values()].some((there) => there.lora_bias);
    const more = [...(hasDora ? ["lora_magnitude_vector"] : []), ...(hasBias ? ["lora_bias"] : [])];
    requireTogether(tensors, ["lora_A", "lora_B", ...more], note);
    checkPerOutput("lora_magnitude_vector", ["use_dora", hasDora], tensors, note);
    checkPerOutput("lora_bias", ["lora_bias", hasBias], tensors, note);
    const pairs = [...tensors].filter(([path, pair]) => fits(path, pair, note));
    const ranks = pairs.map(([path, { lora_A }]) => [path, lora_A?.shape[0] as number] as const);
    return config ? checkRanks(ranks, config, note) : [];
  },
  misfit(module, { lora_A, lora_B, lora_magnitude_vector: magnitude }) {
    if (!module || !isLinear(module)) return "is no linear layer of the model";
    const { inFeatures, outFeatures } = module;
    if (magnitude && magnitude.shape[0] !== outFeatures)
      return `lora_magnitude_vector [${magnitude.shape}] does not fit a layer of ${outFeatures} outputs`;
    if (lora_A?.shape[1] === inFeatures && lora_B?.shape[0] === outFeatures) return undefined;
    return `A [${lora_A?.shape}], B [${lora_B?.shape}] do not fit a layer of ${inFeatures} → ${outFeatures}`;
  },
  warnings: ({ config, tensors }) => patternWarnings(config, [...tensors.keys()]),
  misfits: biasMisfits,
  read: loraOf,
  stored: onWhole,
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
  remarks: uselessPatterns,
};

/** The method with its beginning: decomposing the weights takes a while, which is told. */
function begin(model: Adaptable, method: Lora, { seed, tell }: BeginGiven): Promise<Lora> {
  const { initWeights } = method.options;
  if (takesFromWeight(initWeights)) tell(`Beginning as ${initWeights}: decomposing the weights`);
  return startLora(model, method, { seed });
}

/** A configuration with the defaults of PEFT 0.21.0. */
export function peftLoraConfig(given: Partial<PeftLoraConfig>): PeftLoraConfig {
  return configOf(codec, given);
}

/** As PEFT warns of them. */
function uselessPatterns({ method, sites, base }: Adapter<Lora>): string[] {
  const paths = sites.map(({ module }) => module.path);
  const { excludeModules = [] } = method.options;
  const excludes = [...modules(base.root)].some(({ path }) => isExcluded(path, excludeModules));
  return [
    ...uselessKeys(method.options, paths),
    ...(excludeModules.length > 0 && !excludes
      ? [`exclude_modules ${JSON.stringify(excludeModules)} leaves nothing out`]
      : []),
  ];
}

type Infos = SortedTensors<StoredInfo>["tensors"];
type Entry = Infos extends ReadonlyMap<string, infer Tensors> ? [string, Tensors] : never;

/** Whether the shapes are those of a pair; what is incomplete was noted before. */
function fits(path: string, { lora_A: A, lora_B: B }: Entry[1], note: Note): boolean {
  if (!A || !B) return false;
  const shapes = `${path} (lora_A [${A.shape}], lora_B [${B.shape}])`;
  if (A.shape.length !== 2 || B.shape.length !== 2) {
    note("not two axes each, as linear layers have (convolutions are not supported)", shapes);
  } else if (A.shape[0] !== B.shape[1]) {
    note("the rank of lora_A [r, in] is not that of lora_B [out, r]", shapes);
  } else if (A.shape[0] === 0) {
    note("the rank is 0", shapes);
  } else return true;
  return false;
}

/**
 * Magnitudes and biases are those of all outputs, and there are none where the configuration has none; PEFT leaves them
 * out without a word.
 */
function checkPerOutput(
  name: "lora_magnitude_vector" | "lora_bias",
  [field, isOn]: readonly [name: string, isOn: boolean],
  tensors: Infos,
  note: Note,
): void {
  const inFile = name === "lora_bias" ? "lora_B.bias" : name;
  for (const [path, { lora_B: B, [name]: own }] of tensors) {
    if (!own) continue;
    const shown = `${path} ([${own.shape}])`;
    if (!isOn) note(`${inFile}, and ${field} is false`, shown);
    else if (B && (own.shape.length !== 1 || own.shape[0] !== B.shape[0]))
      note(`${inFile} is not [out] of lora_B [out, r]`, shown);
  }
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
  const ranks = [...tensors].map(([path, { lora_A }]): [string, RankAndAlpha] => {
    return [path, { r: lora_A?.shape[0] as number, alpha: alphas(path)[0] ?? config.lora_alpha }];
  });
  return new Map(ranks);
}

/** Where tensors and patterns disagree, because of names of other versions or the order of the keys, tensors count. */
function loraOf(model: Adaptable, stored: Stored): Lora {
  const { config, tensors } = stored;
  const { r, lora_alpha: alpha, lora_dropout: dropout, init_lora_weights } = config;
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
    ...readWhole(model, stored),
  };
  const method = chosenBy(model, config, [...tensors.keys()], (choice) => lora({ ...rest, ...choice }));
  const locked = trainingLock(config);
  return {
    ...method,
    init: init_lora_weights === "eva" ? true : init_lora_weights,
    ...(locked && { locked }),
  };
}

/** The tensors for the whole weight, where the branch began as a part of it: PEFT's own conversion. */
function onWhole(tensors: Readonly<Record<string, HostTensor>>): Readonly<Record<string, HostTensor>> {
  const { lora_A, lora_B, initial_A, initial_B } = tensors;
  if (!lora_A || !lora_B || !initial_A || !initial_B) return tensors;
  const [r = 0, inFeatures = 0] = lora_A.shape;
  const [outFeatures = 0] = lora_B.shape;
  const sizes = { inFeatures, outFeatures, r, scale: 1 };
  const initial = { A: initial_A.data, B: initial_B.data };
  const { A, B } = onWholeWeight({ ...sizes, A: lora_A.data, B: lora_B.data }, initial);
  return {
    lora_A: { shape: [2 * r, inFeatures], data: A },
    lora_B: { shape: [outFeatures, 2 * r], data: B },
  };
}

function writtenConfig(adapter: Adapter<Lora>): Partial<PeftLoraConfig> {
  const { method, sites } = adapter;
  const { dropout, useRslora, useDora, rankPattern, alphaPattern, initWeights } = method.options;
  // What began as a part of the weight is written as LoRA on the whole weight: twice the rank at the same scale.
  const times = takesFromWeight(initWeights)
    ? { r: 2, alpha: useRslora ? Math.SQRT2 : 2 }
    : { r: 1, alpha: 1 };
  const written = ({ r, alpha }: RankAndAlpha) => ({ r: r * times.r, alpha: alpha * times.alpha });
  const { r, alpha } = written(method.options);
  const ranks = new Map(sites.map(({ module: { path } }) => [path, written(method.rankOf(path))]));
  const own = { r, lora_alpha: alpha, rank_pattern: rankPattern, alpha_pattern: alphaPattern };
  return {
    lora_dropout: dropout,
    use_rslora: useRslora,
    use_dora: useDora,
    lora_bias: method.options.loraBias,
    bias: method.options.bias,
    r,
    lora_alpha: alpha,
    ...writtenTargets(adapter, method.options),
    // The user's own where they say after saving, which sorts them, what they said before.
    ...fitting(own, ranks, sortedPattern),
    // Where there is one layer of the kind, PEFT sets the flag for all and each layer corrects it for itself.
    fan_in_fan_out: sites.some(({ module }) => isLinear(module) && module.fanInFanOut),
    ...(method.init !== undefined && { init_lora_weights: method.init }),
  };
}
