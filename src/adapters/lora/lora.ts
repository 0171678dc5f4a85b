import { isEmbedding } from "../../nn/embedding.ts";
import { isLinear, type Linear } from "../../nn/linear.ts";
import type { Leaf, Module } from "../../nn/module.ts";
import { failAll } from "../../util/fail.ts";
import type { Pattern } from "../../util/module-patterns.ts";
import {
  checkOptions,
  either,
  FACTOR,
  flag,
  integer,
  listOf,
  number,
  objectOf,
  oneOf,
  type Rule,
  type Rules,
  withDefaults,
} from "../../util/options.ts";
import type { Adaptable, Method } from "../method.ts";
import { ranksBy } from "../sites/rank-patterns.ts";
import { SITE_RULES } from "../sites/site-rules.ts";
import type { TargetOptions } from "../sites/targets.ts";
import type { WholeOptions } from "../trained-whole.ts";
import { doraPlans } from "./dora.ts";
import {
  isLoraStart,
  LORA_STARTS,
  type LoraStart,
  loraPlans,
  readsWeights,
  sizesOf,
  takesFromWeight,
} from "./initial/lora-start.ts";
import { activatedWrap, invocationIn, UNMERGEABLE } from "./lora-activated.ts";
import { BIAS_CHOICES, type BiasChoice, biasWithoutPlace, savedTensors } from "./lora-biases.ts";
import { embeddingPlans, embeddingWrap, mergedEmbedding, tiedHeadWrap } from "./lora-embedding.ts";
import { type LoraRole, loraRoles, type TokenIndices } from "./lora-sites.ts";
import { jointWrap, loraWrap, mergedBias, mergedWeight } from "./lora-wrap.ts";
import { mergedRows, tokenEmbeddingWrap, tokenHeadWrap, tokenPlans } from "./token-rows.ts";

/** Options of LoRA; names and meaning as in PEFT's LoraConfig, without `lora_` and in camel case. */
export interface LoraOptions extends Omit<TargetOptions, "isOutput">, WholeOptions {
  /** Rank of the update; 16 unless given. */
  r?: number;
  /** Numerator of the scale alpha / r; 32 unless given. */
  alpha?: number;
  /** Probability of dropping an input element of the branch while training; 0 unless given. */
  dropout?: number;
  /** Names or suffixes of linear layers, a full-match regular expression, or `all-linear`, which is the default. */
  targetModules?: readonly string[] | string;
  /** The scale is alpha / √r (Kalajdzievski 2023, arXiv 2312.03732). */
  useRslora?: boolean;
  /** The norms of the weight's rows, of an embedding's columns, are trained apart from their directions (DoRA, Liu et al. 2024, arXiv 2402.09353). */
  useDora?: boolean;
  /** Ranks other than `r`: by whole paths, their ends after a dot, or expressions for them; the first match counts. */
  rankPattern?: Pattern;
  /** Alphas other than `alpha`, in the same way. */
  alphaPattern?: Pattern;
  /**
   * How it begins; true unless given, PEFT's `init_lora_weights`. `pissa`, `pissa_niter_N` and `olora` take the branch out
   * of the weight, and are saved as plain LoRA of twice the rank; `loftq` fits it to what rounding the base to few bits
   * leaves; `eva` takes for A the directions in which the layers' inputs vary most, and ranks by how much these explain.
   * Of these five, attach what `startLora` gives.
   */
  initWeights?: LoraStart;
  /**
   * Which biases of the model are trained beside it: `none`, unless given; `lora_only`, those of the adapted layers; or
   * `all`, the norms' among them. Taken off, the adapter takes them with it, where PEFT leaves them in the model.
   */
  bias?: BiasChoice;
  /**
   * Tokens whose vectors are trained in place of the whole matrix: their ids, or such lists by the names of modules,
   * `{ embed_tokens: [5, 9], lm_head: [5] }`. An output layer that shares the matrix gets the same vectors.
   */
  trainableTokenIndices?: TokenIndices;
  /**
   * Where an embedding and the output layer are one matrix, what adapts one of them or trains it whole does so with both;
   * false unless given: then each is changed by itself, and merging makes two matrices of the one.
   */
  ensureWeightTying?: boolean;
  /** Bits of the base that `loftq` rounds to, where it is not quantised already: 4 (NF4) unless given, or 8. */
  loftqBits?: 4 | 8;
  /** Times that `loftq` rounds the base and fits the branch to what that leaves; 1 unless given. */
  loftqIterations?: number;
  /** `eva`: a layer gets at most this many times its rank; 2 unless given, and 1 leaves the ranks as they are. */
  evaRho?: number;
  /** `eva`: cosine between a direction and the same one a batch before, from which on it is found; 0.99 unless given. */
  evaTau?: number;
  /** `eva`: directions are divided by the root of their singular value; false unless given. */
  evaWhiten?: boolean;
  /** `eva`: a layer's alpha goes with its rank, so that its scale stays; true unless given. */
  evaAdjustScalingFactors?: boolean;
  /** lora_B has a bias, which is scaled as its product is; false unless given. Not with `useDora` or another start. */
  loraBias?: boolean;
  /**
   * Activated LoRA (Greenewald et al. 2025, arXiv 2504.12397): it acts on the tokens from the last occurrence of this
   * sequence in a text on, so that what a model without it has read before them stays valid. Ids, or a text that the model's
   * tokenizer makes such of. For linear layers of models that predict the next token; not with `useDora`, or a start that
   * takes from the weights.
   */
  aloraInvocationTokens?: readonly number[] | string;
}

/** Options that have a value where none is given. */
type DefaultedName =
  | "r"
  | "alpha"
  | "dropout"
  | "targetModules"
  | "useRslora"
  | "useDora"
  | "rankPattern"
  | "alphaPattern"
  | "initWeights"
  | "bias"
  | "loraBias"
  | "ensureWeightTying"
  | "evaRho"
  | "evaTau"
  | "evaWhiten"
  | "evaAdjustScalingFactors"
  | "loftqBits"
  | "loftqIterations";

/** What LoRA guides agree on; the command line has the same. PEFT's own are r 8, alpha 8 and two layers of each block. */
export const LORA_DEFAULTS = {
  r: 16,
  alpha: 32,
  dropout: 0,
  targetModules: "all-linear",
  useRslora: false,
  useDora: false,
  rankPattern: {},
  alphaPattern: {},
  initWeights: true as LoraStart,
  bias: "none" as BiasChoice,
  loraBias: false,
  ensureWeightTying: false,
  loftqBits: 4 as 4 | 8,
  loftqIterations: 1,
  evaRho: 2,
  evaTau: 0.99,
  evaWhiten: false,
  evaAdjustScalingFactors: true,
} satisfies Required<Pick<LoraOptions, DefaultedName>>;

const TOKEN_LIST = listOf(integer({ min: 0 }), "a list of ids of tokens");
/** What `trainableTokenIndices` has to be. */
export const TOKENS = either(TOKEN_LIST, {
  ...objectOf("such lists by the names of modules", (given) =>
    Object.values(given).every((list) => TOKEN_LIST.accepts(list)),
  ),
});

/** What `aloraInvocationTokens` has to be. */
export const INVOCATION: Rule = {
  wanted: "a list of ids of tokens, or a text",
  accepts: (given) =>
    (typeof given === "string" || TOKEN_LIST.accepts(given)) && (given as string).length > 0,
  aliases: [],
};

const PATTERN = objectOf("an object of numbers by names or expressions");

const RULES: Rules<LoraOptions> = {
  r: integer({ min: 1 }, "lora_r", "rank"),
  alpha: number(FACTOR, "lora_alpha"),
  dropout: number({ min: 0, below: 1 }, "lora_dropout"),
  ...SITE_RULES,
  useRslora: flag("rslora"),
  useDora: flag("dora"),
  rankPattern: PATTERN,
  alphaPattern: PATTERN,
  initWeights: {
    wanted: LORA_STARTS,
    accepts: isLoraStart,
    aliases: ["init_lora_weights", "initLoraWeights"],
  },
  bias: oneOf(BIAS_CHOICES, "lora_bias_type"),
  loraBias: flag(),
  aloraInvocationTokens: INVOCATION,
  trainableTokenIndices: TOKENS,
  ensureWeightTying: flag(),
  loftqBits: { wanted: "4 or 8", accepts: (bits) => bits === 4 || bits === 8, aliases: ["loftq_bits"] },
  loftqIterations: integer({ min: 1 }, "loftq_iter"),
  evaRho: number({ min: 1 }, "rho"),
  evaTau: number({ above: 0, max: 1 }, "tau"),
  evaWhiten: flag("whiten"),
  evaAdjustScalingFactors: flag("adjust_scaling_factors"),
};

/** LoRA with all options settled. */
export interface Lora extends Method {
  /** PEFT's `peft_type`. */
  readonly type: "LORA";
  /** As given, with the defaults filled in. */
  readonly options: LoraOptions & Required<Pick<LoraOptions, DefaultedName>>;
  /** PEFT's `init_lora_weights`, where the adapter was read from a file that says how it began. */
  readonly init?: boolean | string;
  /** Rank and alpha of one module. */
  rankOf(path: string): { r: number; alpha: number };
  /** scale of one module. */
  scaleOf(path: string): number;
  /** What it does at one of its sites. */
  roleOf(module: Module): LoraRole;
  /** Its sites in a model that have an update. */
  branches(model: Adaptable): Module[];
}

/**
 * Low-rank adaptation: y = W x + s · B A x with A `[r, in]` and B `[out, r]`, s = alpha / r.
 * Hu et al. 2021, arXiv 2106.09685; initialised as in PEFT `tuners/lora/layer.py`.
 * @throws LoraError for an option that there is not, a value that is not wanted, such as a rank below 1, and a pattern
 * that is no expression.
 */
export function lora(given: LoraOptions = {}): Lora {
  checkOptions("lora", given, RULES);
  const options = withDefaults(LORA_DEFAULTS, given);
  failAll("lora", conflicts(options), "leave one of the two out");
  const rankOf = ranksBy("lora", options, RULES);
  const scaleOf = (path: string) => {
    const { r, alpha } = rankOf(path);
    return alpha / (options.useRslora ? Math.sqrt(r) : r);
  };
  const { initWeights: start, useDora, aloraInvocationTokens } = options;
  const isOwn = takesFromWeight(start);
  // Of the modules of every model that it was attached to: settled with its sites, and asked for behind them.
  const roles = new WeakMap<Module, LoraRole>();
  const sites = (model: Adaptable) => {
    if (aloraInvocationTokens !== undefined) invocationIn(model, aloraInvocationTokens);
    const found = loraRoles(model, options);
    for (const [module, role] of found) roles.set(module, role);
    failAll(
      "lora",
      [...found].flatMap(([module, role]) => roleProblems(module, role, options)),
      "leave it out of the targets, or the option",
    );
    return [...found.keys()];
  };
  const roleOf = (module: Module): LoraRole => roles.get(module) ?? { does: "branch" };
  const branches = (model: Adaptable) =>
    sites(model).filter((module) => roleOf(module).does.endsWith("branch"));
  return {
    type: "LORA",
    options,
    ...(start !== true && !isOwn && { init: start }),
    rankOf,
    scaleOf,
    roleOf,
    branches,
    sites,
    notesReplication: true,
    ...(aloraInvocationTokens !== undefined && {
      invocation: (model: Adaptable) => invocationIn(model, aloraInvocationTokens),
    }),
    saved: (model) => savedTensors(model, options, () => branches(model)),
    tensors(site) {
      const role = roleOf(site);
      if (role.does === "tokens") return tokenPlans(site as Leaf, role.tokens);
      if (role.does !== "branch") return {};
      if (isEmbedding(site)) return embeddingPlans(site, rankOf(site.path).r, useDora);
      const layer = site as Linear;
      return {
        ...loraPlans(start, sizesOf(layer, rankOf), undefined),
        ...(options.loraBias ? { lora_bias: { shape: [layer.outFeatures] } } : {}),
        ...(useDora ? doraPlans(layer) : {}),
      };
    },
    scales: !useDora, // without its update, DoRA still changes the layer
    wrap(site, given) {
      const role = roleOf(site.module);
      const { factor, at } = given;
      if (role.does === "tied branch") return tiedHeadWrap(at(role.of), factor * scaleOf(role.of.path));
      if (role.does === "branch") {
        const scale = scaleOf(site.module.path);
        if (isEmbedding(site.module)) return embeddingWrap(site, { scale: factor * scale, useDora });
        if (aloraInvocationTokens !== undefined) return activatedWrap(site, given, { scale, ...options });
        return loraWrap(site, given, { scale, ...options });
      }
      const tensors = role.does === "tokens" ? site.tensors : at(role.of);
      const rows = { tokens: role.tokens, tensors, factor };
      return isEmbedding(site.module) ? tokenEmbeddingWrap(rows) : tokenHeadWrap(rows);
    },
    together: {
      stacked: "lora_A",
      // Dropout gives each layer's branch another input.
      accepts: (sites) =>
        options.dropout === 0 &&
        !isOwn &&
        aloraInvocationTokens === undefined &&
        new Set(sites.map(({ path }) => scaleOf(path))).size === 1,
      wrap: (siblings, sites, stack, factor) =>
        jointWrap(siblings, sites, stack, { scale: factor * scaleOf(sites[0]?.module.path ?? ""), useDora }),
    },
    merge(site, _shared, copies) {
      const role = roleOf(site.module);
      if (role.does.startsWith("tied")) return {}; // follows the embedding whose matrix it has
      if (role.does === "tokens") {
        const rows = { tokens: role.tokens, tensors: site.tensors };
        return { weight: () => mergedRows(site.module as Leaf, rows) };
      }
      const scale = scaleOf(site.module.path);
      if (isEmbedding(site.module)) return { weight: () => mergedEmbedding(site, { scale, useDora }) };
      const weight = () => mergedWeight(site, { scale, useDora }, copies);
      const bias = () => mergedBias(site, scale, copies);
      return { weight, ...(options.loraBias ? { bias } : undefined) };
    },
    mergeProblems: (sites) => [
      ...(aloraInvocationTokens === undefined ? [] : [UNMERGEABLE]),
      ...sites.flatMap(biasWithoutPlace),
    ],
  };
}

/** What there is at linear layers alone, and what two places of one matrix can't share. */
function roleProblems(
  module: Module,
  { does }: LoraRole,
  { useDora, loraBias, aloraInvocationTokens }: Lora["options"],
): string[] {
  if (useDora && does === "tied branch")
    return [
      `${module.path} shares its update with an embedding, and useDora gives each magnitudes of its own`,
    ];
  if (does !== "branch") return [];
  const isWaiting = aloraInvocationTokens !== undefined;
  if (isWaiting && isLinear(module) && module.isOutput)
    return [
      `${module.path} is the output layer, which sees chosen tokens only, and aloraInvocationTokens needs all`,
    ];
  if (!isEmbedding(module)) return [];
  return [
    ...(isWaiting ? [`${module.path} is an embedding, and aloraInvocationTokens is for linear layers`] : []),
    ...(loraBias ? [`${module.path} is an embedding, and loraBias is for linear layers`] : []),
  ];
}

/** What of the options excludes each other. */
function conflicts({ initWeights, useDora, loraBias, aloraInvocationTokens }: Lora["options"]): string[] {
  const init = `initWeights is ${JSON.stringify(initWeights)}`;
  return [
    ...(useDora && readsWeights(initWeights)
      ? [`${init}, which takes the branch out of the weight, and useDora splits the whole weight`]
      : []),
    ...(loraBias && initWeights !== true
      ? [`${init}, and loraBias goes with the usual start alone, as in PEFT`]
      : []),
    ...(aloraInvocationTokens !== undefined && useDora
      ? ["useDora changes a layer for all tokens, and aloraInvocationTokens for some"]
      : []),
    ...(aloraInvocationTokens !== undefined && readsWeights(initWeights)
      ? [`${init}, and with aloraInvocationTokens it is true, gaussian or orthogonal`]
      : []),
    ...(loraBias && useDora ? ["loraBias and useDora do not go together, as in PEFT"] : []),
  ];
}

/** Whether a method is LoRA, so that its options can be asked for. */
export function isLora(method: Method): method is Lora {
  return method.type === "LORA";
}
