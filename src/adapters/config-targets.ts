import { isLinear } from "../nn/linear.ts";
import { type Module, modules } from "../nn/module.ts";
import { LoraError } from "../util/fail.ts";
import type { Adapter } from "./adapter.ts";
import type { StoredAdapter } from "./codec.ts";
import { type LayerConfig, type PeftConfig, type TargetConfig, trainedWhole } from "./config-fields.ts";
import type { Adaptable, Method } from "./method.ts";
import type { SiteOptions } from "./sites/choose-sites.ts";
import { isAllLinear, matchesTarget } from "./sites/targets.ts";
import { findWhole, isKeptWhole, isTensorOf, type WholeOptions, wholeNames } from "./trained-whole.ts";

/** The fields of PEFT's configuration that choose modules; a type that has fewer leaves the others out. */
type Choice = Omit<TargetConfig, keyof PeftConfig> & LayerConfig;

/**
 * The choice of layers as PEFT 0.21 writes it: the user's own list or expression with what narrows it down, and in
 * place of `all-linear` the layers that it found. Where PEFT would take the user's words for more layers than were
 * adapted, or refuse them, the layers are named one by one instead.
 */
export function writtenTargets(
  { sites, base }: Pick<Adapter, "sites" | "base">,
  { targetModules, ...options }: SiteOptions,
): Choice {
  const names = wholeNames(base, options);
  const saved = findWhole(base, options);
  const whole = saved.map(({ module }) => module.path).filter((path) => !isKeptWhole(path, names));
  const paths = sites.map(({ module }) => module.path);
  const others = [...othersOf(base, paths), ...whole];
  const modules_to_save = saved.length > 0 ? names : null;
  if (isAllLinear(targetModules) || others.some((path) => matchesTarget(path, targetModules, options))) {
    const none = { exclude_modules: null, layers_to_transform: null, layers_pattern: null };
    return { ...none, modules_to_save, target_modules: shortened(paths, others) };
  }
  const layers = options.layersToTransform ?? null;
  return {
    modules_to_save,
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
  const plain = all.filter((module) => !isLinear(module) || module.isOutput).map(({ path }) => path);
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

/** What a stored adapter says about modules that are trained whole. */
export function readWhole(
  model: Adaptable,
  { config, saved }: Pick<StoredAdapter, "config" | "saved">,
): Required<WholeOptions> {
  // PEFT names `score` beside `classifier`, of which a model has one.
  const isThere = (name: string) => [...saved.keys()].some((tensor) => isTensorOf(tensor, name));
  const head = model.headModules ?? [];
  const names = trainedWhole(config).filter((name) => isThere(name) || head.includes(name));
  const trainHead = head.some(isThere);
  const modulesToSave = trainHead ? names : names.filter((name) => !head.includes(name));
  return { modulesToSave, trainHead };
}

/**
 * The method with the configuration's own words where they choose exactly the modules that the file holds; else with
 * these, one by one: for names of other versions, and words that mean nothing in this model.
 */
export function chosenBy<M extends Method>(
  model: Adaptable,
  config: Pick<TargetConfig, "target_modules" | "exclude_modules"> & Partial<LayerConfig>,
  paths: readonly string[],
  make: (choice: Omit<SiteOptions, keyof WholeOptions>) => M,
  chosenOf: (method: M) => readonly Module[] = (method) => method.sites(model),
): M {
  const { target_modules, exclude_modules, layers_to_transform = null, layers_pattern = null } = config;
  const chosen = make({
    targetModules: target_modules ?? model.defaultTargets,
    ...(exclude_modules !== null && { excludeModules: exclude_modules }),
    ...(layers_to_transform !== null && { layersToTransform: layers_to_transform }),
    ...(layers_pattern !== null && { layersPattern: layers_pattern }),
  });
  return choosesExactly(() => chosenOf(chosen), paths) ? chosen : make({ targetModules: paths });
}

/** False, too, for words that mean nothing in this model, such as an expression that JavaScript cannot read. */
function choosesExactly(choose: () => readonly Module[], paths: readonly string[]): boolean {
  try {
    const found = new Set(choose().map(({ path }) => path));
    return found.size === paths.length && paths.every((path) => found.has(path));
  } catch (error) {
    if (error instanceof LoraError) return false;
    throw error;
  }
}
