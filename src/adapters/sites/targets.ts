import { fail } from "../../util/fail.ts";
import { nearest } from "../../util/nearest.ts";
import { pythonFullMatch, pythonMatch } from "../../util/regexp/python.ts";

/** What narrows down a choice of modules; names and meaning as in PEFT's LoraConfig. */
export interface TargetOptions {
  /** Modules to leave alone: names or suffixes, or a full-match regular expression. Wins over the targets. */
  excludeModules?: readonly string[] | string | undefined;
  /** Indices of the layers to adapt. Only for a list of targets, and there not for entries that are full paths. */
  layersToTransform?: readonly number[] | number | undefined;
  /** Name(s) of the list of layers, such as `layers` or `h`; by default the first number in the path counts. */
  layersPattern?: readonly string[] | string | undefined;
  /** Whether this module is the output layer, which `all-linear` leaves out. */
  isOutput?: boolean | undefined;
}

/** The word for every linear layer but the output layer. */
const ALL_LINEAR = "all-linear";

/**
 * Whether a module is to be adapted: PEFT's rule (`check_target_module_exists` in `tuners/tuners_utils.py`, 0.21.0).
 * A list entry is a whole path or the end of one after a dot; a string is a regular expression (Python's) that
 * matches the whole path, or `all-linear`. Upper and lower case differ, except in `all-linear`.
 * @param path of a linear layer, such as `model.layers.0.self_attn.q_proj`
 * @throws LoraError for an invalid expression, and for options that PEFT refuses too.
 */
export function matchesTarget(
  path: string,
  targets: readonly string[] | string,
  options: TargetOptions = {},
): boolean {
  checkOptions(targets, options);
  if (isExcluded(path, options.excludeModules)) return false;
  if (typeof targets !== "string") return matchesList(path, targets, options);
  return isAllLinear(targets) ? !options.isOutput : pythonFullMatch(targets)(path);
}

/** The targets that match none of the modules: entries of a list, or the expression itself. */
export function unmatchedTargets(paths: readonly string[], targets: readonly string[] | string): string[] {
  if (isAllLinear(targets)) return [];
  if (typeof targets !== "string") {
    return targets.filter((target) => !paths.some((path) => isNamed(path, target)));
  }
  return paths.some(pythonFullMatch(targets)) ? [] : [targets];
}

/** One line on each target that matches no module, with what was probably meant. */
export function describeUnmatchedTargets(
  paths: readonly string[],
  targets: readonly string[] | string,
): string[] {
  return unmatchedTargets(paths, targets).map((target) => {
    const quoted = JSON.stringify(target);
    if (typeof targets !== "string") return `${quoted} matches no module${suggestion(target, paths)}`;
    const asList = paths.some((path) => isNamed(path, target)) ? `; for these names write [${quoted}]` : "";
    return `the expression ${quoted} matches no whole path${asList}`;
  });
}

/** The distinct last parts of the paths: the names that a list of targets usually holds. */
export function targetNames(paths: readonly string[]): string[] {
  return [...new Set(paths.map((path) => path.slice(path.lastIndexOf(".") + 1)))];
}

/** What was probably meant by a name that no path has. */
export function suggestion(target: string, paths: readonly string[]): string {
  const candidates = target.includes(".") ? pathEnds(paths, target.split(".").length) : targetNames(paths);
  const found = nearest(target, candidates);
  return found === undefined ? "" : `; did you mean ${JSON.stringify(found)}?`;
}

/** The ends of the paths with this many parts. */
function pathEnds(paths: readonly string[], parts: number): string[] {
  return [...new Set(paths.map((path) => path.split(".").slice(-parts).join(".")))];
}

/** Whether the targets are the word for every linear layer. */
export function isAllLinear(targets: readonly string[] | string): boolean {
  return typeof targets === "string" && targets.toLowerCase() === ALL_LINEAR;
}

function isNamed(path: string, name: string): boolean {
  return path === name || path.endsWith(`.${name}`);
}

/** Whether a module is left out, by the end of its path or by an expression. */
export function isExcluded(path: string, exclude: readonly string[] | string | undefined): boolean {
  if (exclude === undefined || exclude.length === 0) return false;
  if (typeof exclude === "string") return pythonFullMatch(exclude)(path);
  return exclude.some((name) => isNamed(path, name));
}

function matchesList(path: string, targets: readonly string[], options: TargetOptions): boolean {
  if (targets.includes(path)) return true; // a full path needs no layer index
  if (!targets.some((target) => isNamed(path, target))) return false;
  const layers = layersOf(options);
  if (layers.length === 0) return true;
  const index = layerIndex(path, options.layersPattern);
  return index !== undefined && layers.includes(index);
}

function layersOf({ layersToTransform = [] }: TargetOptions): readonly number[] {
  return typeof layersToTransform === "number" ? [layersToTransform] : layersToTransform;
}

/** The number of the layer that a module lies in. As in PEFT a pattern is put into the expression as it stands. */
export function layerIndex(path: string, pattern: TargetOptions["layersPattern"]): number | undefined {
  const matchers = layerPatterns(pattern).map((name) =>
    pythonMatch(`(?:^|.*?\\.)${name}\\.(?P<index>\\d+)\\.`, name),
  );
  // Without a pattern PEFT wants a part before the list's name: `layers.0.q_proj` has no layer index.
  if (matchers.length === 0) matchers.push(pythonMatch(".*?\\.[^.]*\\.(?P<index>\\d+)\\."));
  const index = matchers
    .map((match) => match(path))
    .find(Boolean)
    ?.group("index");
  return index === undefined ? undefined : Number(index);
}

function layerPatterns(pattern: TargetOptions["layersPattern"]): readonly string[] {
  if (pattern === undefined || pattern.length === 0) return [];
  return typeof pattern === "string" ? [pattern] : pattern;
}

function checkOptions(targets: readonly string[] | string, options: TargetOptions): void {
  const { layersToTransform, layersPattern } = options;
  if (typeof targets === "string" && (layersToTransform !== undefined || layersPattern !== undefined)) {
    fail(
      "layersToTransform",
      `has no effect on the expression ${JSON.stringify(targets)}`,
      "give the targets as a list of names, or name the layers in the expression",
    );
  }
  if (layerPatterns(layersPattern).length > 0 && layersToTransform === undefined) {
    fail("layersPattern", "has no effect by itself", "give layersToTransform too");
  }
}
