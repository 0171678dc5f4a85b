import type { Adaptable, Adapter } from "../adapters/adapter.ts";
import { type Lora, type LoraOptions, lora } from "../adapters/lora.ts";
import { isAllLinear, matchesTarget } from "../adapters/targets.ts";
import { isKeptWhole, wholeNames } from "../adapters/trained-whole.ts";
import { type PeftAdapter, peftPatterns, sortedPattern } from "../io/formats/peft.ts";
import { type PeftLoraConfig, trainedWhole } from "../io/formats/peft-config.ts";
import { isTensorOf } from "../io/formats/peft-tensors.ts";
import { trainingLock } from "../io/formats/peft-variants.ts";
import { isLinear } from "../nn/linear.ts";
import { modules } from "../nn/module.ts";
import { LoraError } from "../util/fail.ts";
import { type Pattern, patternMatcher } from "../util/module-patterns.ts";

/** The fields of PEFT's configuration that choose layers. */
type Choice = Pick<
  PeftLoraConfig,
  "target_modules" | "exclude_modules" | "layers_to_transform" | "layers_pattern"
>;

/**
 * The choice of layers as PEFT 0.21 writes it: the user's own list or expression with what narrows it down, and in
 * place of `all-linear` the layers that it found. Where PEFT would take the user's words for more layers than were
 * adapted, or refuse them, the layers are named one by one instead.
 */
export function writtenTargets({ method, sites, saved, base }: Adapter<Lora>): Choice {
  const { targetModules, ...options } = method.options;
  const names = wholeNames(base, options);
  const whole = saved.map(({ module }) => module.path).filter((path) => !isKeptWhole(path, names));
  const paths = sites.map(({ module }) => module.path);
  const others = [...othersOf(base, paths), ...whole];
  if (isAllLinear(targetModules) || others.some((path) => matchesTarget(path, targetModules, options))) {
    const none = { exclude_modules: null, layers_to_transform: null, layers_pattern: null };
    return { ...none, target_modules: shortened(paths, others) };
  }
  const layers = options.layersToTransform ?? null;
  return {
    target_modules: targetModules,
    exclude_modules: options.excludeModules ?? null,
    layers_to_transform: typeof layers === "number" || layers === null ? layers : [...layers],
    layers_pattern: options.layersPattern ?? null,
  };
}

/**
 * Modules that no adapter must reach by its targets: those that are no linear layers, which PEFT refuses to adapt, and
 * layers of transformers that the engine does without. What else transformers has inside a module (an activation,
 * dropout) is not known here: an invented name takes its place.
 */
function othersOf({ root, absentModules = [] }: Adaptable, adapted: readonly string[]): string[] {
  const taken = new Set(adapted);
  const all = [...modules(root)].filter(({ path }) => path !== "");
  const plain = all.filter((module) => !isLinear(module)).map(({ path }) => path);
  // Parts that the engine computes in one go are modules of their own there: every path above another is one.
  const parents = [...new Set(all.flatMap(({ path }) => parentsOf(path)))];
  const inside = parents.map((path) => `${path}.other_module`);
  return [...plain, ...parents, ...inside, ...absentModules].filter((path) => !taken.has(path));
}

/** The paths above a module, without the root's. */
function parentsOf(path: string): string[] {
  const parts = path.split(".").slice(0, -1);
  return parts.map((_, i) => parts.slice(0, i + 1).join("."));
}

/** PEFT's MIN_TARGET_MODULES_FOR_OPTIMIZATION: from so many on it names layers by the ends of their paths. */
const SHORTENED_FROM = 20;

/** The shortest ends of the paths that no other module has, where there are many (`_find_minimal_target_modules`). */
function shortened(paths: readonly string[], others: readonly string[]): readonly string[] {
  if (paths.length < SHORTENED_FROM) return paths;
  const foreign = new Set(others.flatMap(endsOf));
  const found = new Set<string>();
  for (const path of paths) {
    const ends = endsOf(path);
    if (!ends.some((end) => found.has(end))) found.add(ends.find((end) => !foreign.has(end)) ?? path);
  }
  return [...found];
}

/** The ends of a path after a dot, shortest first, and the path itself. */
function endsOf(path: string): string[] {
  const parts = path.split(".");
  return parts.map((_, i) => parts.slice(parts.length - 1 - i).join("."));
}

/** rank_pattern and alpha_pattern: the user's own where they say after saving what they said before. */
export function writtenPatterns({
  method,
  sites,
}: Adapter<Lora>): Pick<PeftLoraConfig, "rank_pattern" | "alpha_pattern"> {
  const { r, alpha, rankPattern, alphaPattern } = method.options;
  const ranks = new Map(sites.map(({ module: { path } }) => [path, method.rankOf(path)]));
  const exact = peftPatterns({ r, lora_alpha: alpha }, ranks);
  return {
    rank_pattern: gives(sortedPattern(rankPattern), r, ranks, "r") ? rankPattern : exact.rank_pattern,
    alpha_pattern: gives(sortedPattern(alphaPattern), alpha, ranks, "alpha")
      ? alphaPattern
      : exact.alpha_pattern,
  };
}

/** Whether a pattern, or the usual value where it says nothing, gives each module its rank or alpha. */
function gives(
  pattern: Pattern,
  usual: number,
  wanted: ReadonlyMap<string, { readonly r: number; readonly alpha: number }>,
  key: "r" | "alpha",
): boolean {
  const matcher = patternMatcher(pattern);
  return [...wanted].every(([path, values]) => (matcher(path)[0] ?? usual) === values[key]);
}

/**
 * The method that an adapter was made with: its configuration's own words where they choose exactly the layers that
 * the file holds, with these ranks and alphas; else the layers one by one.
 */
export function methodOf(model: Adaptable, { config, tensors, saved }: PeftAdapter): Lora {
  const { r, lora_alpha: alpha, lora_dropout: dropout, use_rslora: useRslora, init_lora_weights } = config;
  // PEFT names `score` beside `classifier`, of which a model has one.
  const isThere = (name: string) => [...saved.keys()].some((tensor) => isTensorOf(tensor, name));
  const head = model.headModules ?? [];
  const names = trainedWhole(config).filter((name) => isThere(name) || head.includes(name));
  const trainHead = head.some(isThere);
  const modulesToSave = trainHead ? names : names.filter((name) => !head.includes(name));
  const rest = { r, alpha, dropout, useRslora, modulesToSave, trainHead, ...readPatterns(config, tensors) };
  const chosen = lora({ ...rest, ...readChoice(config, model) });
  const paths = [...tensors.keys()];
  const method = choosesExactly(model, chosen, paths) ? chosen : lora({ ...rest, targetModules: paths });
  const locked = trainingLock(config);
  return {
    ...method,
    init: init_lora_weights === "eva" ? true : init_lora_weights,
    ...(locked && { locked }),
  };
}

function readChoice(config: PeftLoraConfig, { defaultTargets }: Adaptable): LoraOptions {
  return {
    targetModules: config.target_modules ?? defaultTargets,
    ...(config.exclude_modules !== null && { excludeModules: config.exclude_modules }),
    ...(config.layers_to_transform !== null && { layersToTransform: config.layers_to_transform }),
    ...(config.layers_pattern !== null && { layersPattern: config.layers_pattern }),
  };
}

/** Where tensors and patterns disagree, because of names of other versions or the order of the keys, tensors count. */
function readPatterns(config: PeftLoraConfig, tensors: PeftAdapter["tensors"]) {
  const { r, lora_alpha, rank_pattern, alpha_pattern } = config;
  const exact = peftPatterns(config, tensors);
  return {
    rankPattern: gives(rank_pattern, r, tensors, "r") ? rank_pattern : exact.rank_pattern,
    alphaPattern: gives(alpha_pattern, lora_alpha, tensors, "alpha") ? alpha_pattern : exact.alpha_pattern,
  };
}

/** False, too, for words that mean nothing in this model, such as an expression that JavaScript cannot read. */
function choosesExactly(model: Adaptable, method: Lora, paths: readonly string[]): boolean {
  try {
    const found = new Set(method.sites(model).map(({ path }) => path));
    return found.size === paths.length && paths.every((path) => found.has(path));
  } catch (error) {
    if (error instanceof LoraError) return false;
    throw error;
  }
}
