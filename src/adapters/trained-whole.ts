import { isExperts } from "../nn/expert-layer.ts";
import { isLeaf, modules } from "../nn/module.ts";
import { failAll } from "../util/fail.ts";
import { pythonMatch } from "../util/regexp/python.ts";
import type { Adaptable, TrainedTensors } from "./method.ts";
import { suggestion } from "./sites/targets.ts";
import { type UnreachableModule, unreachableModules } from "./sites/unreachable.ts";

/** What is trained whole beside an adapter: PEFT's `modules_to_save`. */
export interface WholeOptions {
  /** Modules that are trained whole beside the adapter, by the end of their paths; the task's head needs no name. */
  modulesToSave?: readonly string[] | undefined;
  /** Whether the head of a classifier is trained whole, as PEFT always does for its tasks; true unless given. */
  trainHead?: boolean | undefined;
}

/**
 * The names in PEFT's `modules_to_save`, each once: the given ones, those that PEFT tries for a head, and what else of
 * the head starts at random, such as a pooler that the checkpoint lacks: untrained and unsaved it would be lost.
 */
export function wholeNames(
  model: Adaptable,
  { modulesToSave = [], trainHead = true }: WholeOptions,
): string[] {
  if (!trainHead) return [...new Set(modulesToSave)];
  const names = [...new Set([...modulesToSave, ...(model.headModules ?? [])])];
  const random = (model.initialised ?? []).map((name) => name.slice(0, name.lastIndexOf(".")));
  const missed = random.filter((path) => !names.some((name) => rootsOf(path, name).length > 0));
  return [...names, ...new Set(missed)];
}

/**
 * The modules with weights that are trained whole. PEFT's rule (`_set_trainable` in `utils/other.py`, 0.21): all below
 * a module whose path ends in the name, whether or not a dot comes before.
 * @throws LoraError for names that match nothing or that PEFT refuses; for those that reach an embedding, the output
 * layer or a part that the task does not use; and for modules inside one another, whose file PEFT cannot read back.
 */
export function findWhole(model: Adaptable, options: WholeOptions): TrainedTensors[] {
  const leaves = [...modules(model.root)].filter(isLeaf);
  const names = wholeNames(model, options);
  const roots = new Set(leaves.flatMap(({ path }) => names.flatMap((name) => rootsOf(path, name))));
  const paths = leaves.map(({ path }) => path);
  failAll("modulesToSave", [
    ...names.flatMap((name) => nameProblems(model, name, paths)),
    ...insideOneAnother([...roots]),
  ]);
  const whole = leaves.filter(({ path }) => pathsTo(path).some((above) => roots.has(above)));
  return whole.map((module) => ({ module, names: Object.keys(module.tensors) }));
}

/** Whether PEFT keeps LoRA off a module by the names of what is trained whole: there they are expressions. */
export function isKeptWhole(path: string, names: readonly string[]): boolean {
  return names.some((name) => pythonMatch(`(^|.*\\.)${name}($|\\..*)`, name)(path) !== undefined);
}

/** The modules at or above a path whose own paths end in the name. */
function rootsOf(path: string, name: string): string[] {
  return pathsTo(path).filter((above) => above.endsWith(name));
}

/** The paths of the modules on the way to one, outermost first, and its own. */
function pathsTo(path: string): string[] {
  const parts = path.split(".");
  return parts.map((_, i) => parts.slice(0, i + 1).join("."));
}

/** Whether a tensor lies in a module that a name stands for: by the end of its path, or of a path above it. */
export function isTensorOf(tensor: string, name: string): boolean {
  return rootsOf(tensor.slice(0, Math.max(0, tensor.lastIndexOf("."))), name).length > 0;
}

function nameProblems(model: Adaptable, name: string, paths: readonly string[]): string[] {
  const quoted = JSON.stringify(name);
  if (name === "") return ["a name is empty"];
  const unreachable = unreachableBy(model, name);
  if (unreachable.length > 0) return unreachable.map((reason) => `${quoted} reaches ${reason}`);
  const roots = new Set(paths.flatMap((path) => rootsOf(path, name)));
  const lists = [...roots].filter((root) =>
    paths.some((path) => path.startsWith(`${root}.`) && /^\d+\./.test(path.slice(root.length + 1))),
  );
  if (lists.length > 0)
    return [`${quoted} is a list of layers: name them one by one, as ${quoted.slice(0, -1)}.0"`];
  if (roots.size > 0 || model.headModules?.includes(name)) return []; // a head's names are tried, one of them is there
  return [`${quoted} matches no module${suggestion(name, paths)}`];
}

/** One line for each reason why something that a name reaches cannot be trained. */
function unreachableBy(model: Adaptable, name: string): string[] {
  const reached = [...unreachableModules(model), ...frozenExperts(model)].filter(
    ({ path }) => rootsOf(path, name).length > 0,
  );
  const reasons = [...new Set(reached.map(({ why }) => why))];
  return reasons.map((reason) => {
    const paths = reached.filter(({ why }) => why === reason).map(({ path }) => path);
    return `${paths.join(", ")}: ${reason}`;
  });
}

/** Experts, of which no gradient is computed. */
function frozenExperts({ root }: Adaptable): UnreachableModule[] {
  const experts = [...modules(root)].filter(isExperts);
  return experts.map(({ path }) => ({
    path,
    why: "experts stay frozen; LoRA goes to the projections of attention",
  }));
}

function insideOneAnother(roots: readonly string[]): string[] {
  return roots.flatMap((outer) =>
    roots
      .filter((inner) => inner.startsWith(`${outer}.`))
      .map((inner) => `${inner} lies inside ${outer}: name one of the two`),
  );
}
