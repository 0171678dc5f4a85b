import { append } from "../../util/arrays.ts";
import { FACTOR } from "../../util/options.ts";
import type { Adapter } from "../adapter.ts";
import type { StoredAdapter } from "../codec.ts";
import {
  COUNT,
  commonFields,
  type FieldTable,
  FLAG,
  LAYER_FIELDS,
  type LayerConfig,
  layerConflicts,
  NUMBER,
  OBJECT,
  type PeftConfig,
  PROBABILITY,
  TARGET_FIELDS,
  type TargetConfig,
} from "../config-fields.ts";
import { chosenBy, readWhole, writtenTargets } from "../config-targets.ts";
import type { Adaptable, Method } from "../method.ts";
import {
  BESIDE_OPTIONS,
  CHANCE,
  LAYER_OPTIONS,
  type MethodOptions,
  patternOptions,
  targetOption,
} from "../method-options.ts";
import { patternProblems, type RankAndAlpha, sortedPattern } from "../sites/patterns.ts";
import { fitting, type PatternFields, uselessKeys } from "../sites/stored-ranks.ts";
import { LYCORIS_DEFAULTS, type Lycoris, type LycorisOptions } from "./lycoris.ts";

/** The fields of `adapter_config.json` that LoHa and LoKr have in common. */
export interface PeftLycorisConfig extends TargetConfig, LayerConfig, PatternFields {
  alpha: number;
  module_dropout: number;
  r: number;
  rank_dropout: number;
  /** Of convolutions only. */
  use_effective_conv2d: boolean;
}

/** The options that they have in common, as commands name them. */
export const LYCORIS_OPTIONS: MethodOptions<LycorisOptions> = {
  r: {
    sets: "r",
    value: { is: "whole", min: 1 },
    fallback: LYCORIS_DEFAULTS.r,
    help: "rank of each product",
    aliases: ["rank"],
  },
  alpha: {
    sets: "alpha",
    value: { is: "number", bounds: FACTOR },
    fallback: LYCORIS_DEFAULTS.alpha,
    help: "the update is scaled by alpha / r",
  },
  rank_dropout: {
    sets: "rankDropout",
    value: CHANCE,
    fallback: LYCORIS_DEFAULTS.rankDropout,
    help: "chance of leaving an output out of the update while training",
  },
  module_dropout: {
    sets: "moduleDropout",
    value: CHANCE,
    fallback: LYCORIS_DEFAULTS.moduleDropout,
    help: "chance of leaving a layer's whole update out while training",
  },
  ...targetOption("layers to adapt", LYCORIS_DEFAULTS.targetModules),
  ...LAYER_OPTIONS,
  ...patternOptions("r", "alpha"),
  ...BESIDE_OPTIONS,
};

/** Of each of them: PEFT's value where nothing is set, and what it may hold. */
export const lycorisFields = (type: string): FieldTable<PeftLycorisConfig> => ({
  ...(commonFields(type) as FieldTable<PeftConfig>),
  ...TARGET_FIELDS,
  ...LAYER_FIELDS,
  alpha: [8, NUMBER],
  alpha_pattern: [{}, OBJECT],
  module_dropout: [0, PROBABILITY],
  r: [8, COUNT],
  rank_dropout: [0, PROBABILITY],
  rank_pattern: [{}, OBJECT],
  use_effective_conv2d: [false, FLAG],
});

/** Fields that Python holds as floats. */
export const LYCORIS_FLOATS: readonly string[] = ["module_dropout", "rank_dropout"];

/** What is wrong with a configuration beyond its single fields. */
export function lycorisProblems<C extends PeftLycorisConfig>(
  config: C,
  right: (name: keyof C) => boolean,
): string[] {
  const problems = layerConflicts(config);
  const patterns = [
    ["rank_pattern", COUNT],
    ["alpha_pattern", NUMBER],
  ] as const;
  for (const [name, { accepts, wants }] of patterns) {
    if (right(name)) append(problems, patternProblems(name, config[name], accepts, wants));
  }
  return problems;
}

/** What of a new adapter's patterns matches nothing. */
export function lycorisRemarks({ method, sites }: Adapter<Lycoris>): string[] {
  return uselessKeys(
    method.options,
    sites.map(({ module }) => module.path),
  );
}

/**
 * The method that a stored adapter was made with.
 * @param ranks rank and alpha of each layer
 */
export function readLycoris<M extends Method>(
  model: Adaptable,
  stored: StoredAdapter<PeftLycorisConfig>,
  ranks: ReadonlyMap<string, RankAndAlpha>,
  make: (options: LycorisOptions) => M,
): M {
  const { config, tensors } = stored;
  const { r, alpha, rank_dropout: rankDropout, module_dropout: moduleDropout } = config;
  const { rank_pattern, alpha_pattern } = fitting({ ...config, lora_alpha: alpha }, ranks);
  const patterns = { rankPattern: rank_pattern, alphaPattern: alpha_pattern };
  const rest = { r, alpha, rankDropout, moduleDropout, ...patterns, ...readWhole(model, stored) };
  return chosenBy(model, config, [...tensors.keys()], (choice) => make({ ...rest, ...choice }));
}

/** The fields that they have in common, for an adapter. */
export function writeLycoris(adapter: Adapter<Lycoris>): Partial<PeftLycorisConfig> {
  const { method, sites } = adapter;
  const { r, alpha, rankDropout, moduleDropout, rankPattern, alphaPattern } = method.options;
  const ranks = new Map(sites.map(({ module: { path } }) => [path, method.rankOf(path)]));
  const own = { r, lora_alpha: alpha, rank_pattern: rankPattern, alpha_pattern: alphaPattern };
  return {
    r,
    alpha,
    rank_dropout: rankDropout,
    module_dropout: moduleDropout,
    ...writtenTargets(adapter, method.options),
    // The user's own where they say after saving, which sorts them, what they said before.
    ...fitting(own, ranks, sortedPattern),
  };
}
