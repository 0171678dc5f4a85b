import { isEmbedding } from "../../nn/embedding.ts";
import type { Linear } from "../../nn/linear.ts";
import { isLeaf, type Module, modules } from "../../nn/module.ts";
import { fail, failAll } from "../../util/fail.ts";
import type { Adaptable } from "../method.ts";
import { listed } from "../stored-tensors.ts";
import { findWhole, isKeptWhole, type WholeOptions, wholeNames } from "../trained-whole.ts";
import {
  describeUnmatchedTargets,
  isAllLinear,
  matchesTarget,
  type TargetOptions,
  targetNames,
} from "./targets.ts";
import { unreachableModules } from "./unreachable.ts";

const NO_SITE = "this method does not adapt modules of this kind; modulesToSave trains it whole";

/** Which modules a method adapts and which are trained whole, in PEFT's words. */
export interface SiteOptions extends Omit<TargetOptions, "isOutput">, WholeOptions {
  /** Names or suffixes of modules, a full-match regular expression, or `all-linear`. */
  readonly targetModules: readonly string[] | string;
}

/**
 * The modules of one kind that the options choose, except those that are trained whole.
 * @param where of messages: the method's name
 * @throws LoraError where a target matches nothing or what no adapter reaches, or nothing is left
 */
export function findSites<L extends Module>(
  where: string,
  model: Adaptable,
  options: SiteOptions,
  isSite: (module: Module) => module is L,
): L[] {
  const targets = options.targetModules;
  const whole = new Set<Module>(findWhole(model, options).map(({ module }) => module));
  const all = [...modules(model.root)];
  const linears = all.filter(isSite);
  const paths = linears.map(({ path }) => path);
  const matches = (module: { path: string }) =>
    matchesTarget(module.path, targets, { ...options, isOutput: isBeyondAll(module as Module) });
  const names = wholeNames(model, options);
  const isWord = isAllLinear(targets);
  const unreachable = isWord ? [] : unreachableModules(model).filter(matches);
  // PEFT refuses an expression that matches norms beside linear layers. Here it means the latter, and is saved as their names.
  const meansSites = typeof targets === "string" && linears.some(matches);
  const others = (isWord ? [] : all)
    .filter((module) => isLeaf(module) && !isSite(module))
    .filter((module) => matches(module) && (!meansSites || isEmbedding(module)))
    .map(({ path }) => ({ path, why: NO_SITE }));
  const unmatched = describeUnmatchedTargets([...paths, ...others.map(({ path }) => path)], targets);
  // A target that names an unused layer beside others means the others.
  const reasons = [...others, ...(unmatched.length > 0 ? unreachable : [])];
  const twice = linears.filter((module) => whole.has(module) && !isKeptWhole(module.path, names));
  const problems = [
    ...unmatched,
    ...reasons.map(({ path, why }) => `${path}: ${why}`),
    ...(isWord ? [] : twice)
      .filter(matches)
      .map(({ path }) => `${path} is trained whole by modulesToSave: take it out of one of the two`),
  ];
  failAll(where, problems, `there are: ${targetNames(paths).join(", ")}`);
  const found = linears.filter((module) => matches(module) && !whole.has(module));
  const narrowed = "excludeModules, layersToTransform and modulesToSave leave no layer of targetModules";
  failAll(where, found.length === 0 ? [narrowed] : [], `there are: ${targetNames(paths).join(", ")}`);
  return found;
}

/** What `all-linear` leaves out. */
function isBeyondAll(module: Module): boolean {
  return isEmbedding(module) || (module as Partial<Linear>).isOutput === true;
}

/** The targets in a model where the options name none: PEFT's own for its type (`utils/constants.py`, 0.21). */
export type TargetsIn = (model: Pick<Adaptable, "modelType">) => SiteOptions["targetModules"];

/**
 * The given targets, or those of a table by the model's type.
 * @param where of messages: the method's name
 */
export function targetsByType(
  where: string,
  given: SiteOptions["targetModules"] | undefined,
  table: Readonly<Record<string, readonly string[]>>,
): TargetsIn {
  return ({ modelType = "" }) =>
    given ??
    table[modelType] ??
    fail(where, `PEFT has no targets for ${modelType}`, "name them: targetModules");
}

/** Layers of a method that PEFT has for `torch.nn.Linear` alone. @throws LoraError naming those whose weights lie turned */
export function withoutConv1d(where: string, sites: Linear[], instead: string): Linear[] {
  const turned = sites.filter(({ fanInFanOut }) => fanInFanOut).map(({ path }) => path);
  const problem = `${listed(turned)}: PEFT has no ${where} of Conv1D layers, as GPT-2 has them`;
  failAll(where, turned.length > 0 ? [problem] : [], `take ${instead}, which it has for them`);
  return sites;
}
