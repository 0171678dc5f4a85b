import { type Embedding, isEmbedding } from "../../nn/embedding.ts";
import { isLinear, type Linear } from "../../nn/linear.ts";
import { type Module, modules } from "../../nn/module.ts";
import { append } from "../../util/arrays.ts";
import { failAll } from "../../util/fail.ts";
import { firstOf } from "../../util/group-lines.ts";
import type { Adaptable, TrainedTensors } from "../method.ts";
import { findSites, type SiteOptions } from "../sites/choose-sites.ts";
import { findWhole } from "../trained-whole.ts";

/** Tokens whose rows are trained: of the embedding that reads ids, or by the names of modules. PEFT's field. */
export type TokenIndices = readonly number[] | Readonly<Record<string, readonly number[]>>;

/** What chooses the modules that LoRA changes. */
export interface LoraSiteOptions extends SiteOptions {
  readonly trainableTokenIndices?: TokenIndices | undefined;
  readonly ensureWeightTying: boolean;
}

/** What LoRA does at a module: it has an update, or rows of it are trained. */
export type LoraRole =
  /** An update of its own. */
  | { readonly does: "branch" }
  /** The update of an embedding that it shares its matrix with. */
  | { readonly does: "tied branch"; readonly of: Embedding }
  /** Trained rows of its own. */
  | { readonly does: "tokens"; readonly tokens: readonly number[] }
  /** The trained rows of an embedding that it shares its matrix with. */
  | { readonly does: "tied tokens"; readonly tokens: readonly number[]; readonly of: Embedding };

/** The kinds of modules that can have an update. */
type Adapted = Linear | Embedding;
const isAdapted = (module: Module): module is Adapted => isLinear(module) || isEmbedding(module);

/**
 * The modules that LoRA changes in a model, in its order, and how.
 * @throws LoraError listing what matches nothing or goes against another option
 */
export function loraRoles(model: Adaptable, options: LoraSiteOptions): Map<Module, LoraRole> {
  const all = [...modules(model.root)];
  const branches = findSites("lora", model, options, isAdapted);
  const roles = new Map<Module, LoraRole>(branches.map((module) => [module, { does: "branch" }]));
  if (options.ensureWeightTying) tieBranches(model, options, roles);
  const rows = new Map<Module, LoraRole>();
  const problems = tokenRoles(model, options, rows);
  for (const [module, role] of rows) {
    if (roles.has(module)) {
      problems.push(
        `${module.path} is a target, and trainableTokenIndices trains rows of it: take it out of one of the two`,
      );
    }
    roles.set(module, role);
  }
  failAll(
    "lora",
    problems,
    "trainableTokenIndices takes ids of the vocabulary: a list, or { embed_tokens: [...] }",
  );
  return new Map(all.flatMap((module) => (roles.has(module) ? [[module, roles.get(module)!] as const] : [])));
}

/** The output layer that computes with an embedding's matrix. */
function tiedHead({ root }: Pick<Adaptable, "root">): (Linear & { readonly tiedTo: Embedding }) | undefined {
  const isTied = (module: Module): module is Linear & { readonly tiedTo: Embedding } =>
    isLinear(module) && module.tiedTo !== undefined;
  return [...modules(root)].find(isTied);
}

/** Whether a model's output layer shares its embedding's matrix. */
export function isTied(model: Pick<Adaptable, "root">): boolean {
  return tiedHead(model) !== undefined;
}

/** An embedding and its output layer get one update where either has one. @throws LoraError where nothing can be tied */
function tieBranches(model: Adaptable, options: LoraSiteOptions, roles: Map<Module, LoraRole>): void {
  const head = tiedHead(model);
  const help = "leave ensureWeightTying out";
  if (!head) {
    const got = `the output layer of ${model.name ?? "the model"} has a matrix of its own, so that ensureWeightTying has nothing to tie`;
    failAll("lora", [got], help);
    return;
  }
  const names = `${head.tiedTo.path} and ${head.path}`;
  const whole = new Set<Module>(findWhole(model, options).map(({ module }) => module));
  const isWhole = whole.has(head) || whole.has(head.tiedTo);
  const isTarget = roles.has(head) || roles.has(head.tiedTo);
  const hasTokens = options.trainableTokenIndices !== undefined;
  const problems = [
    ...(isWhole && isTarget
      ? [`of ${names}, which are one matrix, one is a target and one is trained whole`]
      : []),
    ...(!isWhole && !isTarget && !hasTokens
      ? [`neither of ${names} is adapted, so that ensureWeightTying has nothing to tie`]
      : []),
  ];
  failAll("lora", problems, isWhole ? "name one of the two lists" : help);
  if (!isTarget) return;
  roles.set(head.tiedTo, { does: "branch" });
  roles.set(head, { does: "tied branch", of: head.tiedTo });
}

/** @returns what is wrong, one line each */
function tokenRoles(model: Adaptable, options: LoraSiteOptions, roles: Map<Module, LoraRole>): string[] {
  const { trainableTokenIndices: given, ensureWeightTying } = options;
  if (given === undefined) return [];
  const adapted = [...modules(model.root)].filter(isAdapted);
  const words = adapted.find(isEmbedding);
  const whole = new Set<Module>(findWhole(model, options).map(({ module }) => module));
  const named: [string, readonly number[]][] = isList(given)
    ? [[words?.path ?? "an embedding", given]]
    : Object.entries(given);
  const problems: string[] = [];
  for (const [name, tokens] of named) {
    const found = adapted.filter(({ path }) => path.endsWith(name));
    const [module] = found;
    if (!module || found.length > 1) {
      const paths = found.map(({ path }) => path).join(", ") || "no embedding or linear layer";
      problems.push(`${JSON.stringify(name)} of trainableTokenIndices is ${paths}`);
      continue;
    }
    if (whole.has(module)) {
      problems.push(
        `${module.path} is trained whole by modulesToSave, and rows of it by trainableTokenIndices: take it out of one of the two`,
      );
    }
    append(problems, tokenProblems(module, tokens));
    if (tokens.length > 0) roles.set(module, { does: "tokens", tokens });
  }
  const head = tiedHead(model);
  const source = head && roles.get(head.tiedTo);
  if (!head || source?.does !== "tokens") return problems;
  const own = roles.get(head);
  const isOther = own?.does === "tokens" && String(own.tokens) !== String(source.tokens);
  if (isOther && ensureWeightTying) {
    problems.push(
      `${head.tiedTo.path} and ${head.path} are one matrix, and trainableTokenIndices names other tokens for each: with ensureWeightTying they must be the same`,
    );
  }
  if (!isOther) roles.set(head, { does: "tied tokens", tokens: source.tokens, of: head.tiedTo });
  return problems;
}

function isList(given: TokenIndices): given is readonly number[] {
  return Array.isArray(given);
}

function tokenProblems({ tensors, path }: Adapted, tokens: readonly number[]): string[] {
  const { rows } = tensors.weight;
  const alien = tokens.filter((token) => token >= rows);
  const twice = tokens.filter((token, i) => tokens.indexOf(token) < i);
  return [
    ...(alien.length > 0
      ? [`${path} has ${rows} rows, and trainableTokenIndices names ${firstOf(alien.map(String), 8)}`]
      : []),
    ...(twice.length > 0
      ? [`trainableTokenIndices names ${firstOf(twice.map(String), 8)} of ${path} more than once`]
      : []),
  ];
}

/** What is trained whole, where of an embedding and the output layer with its matrix either or both are: both, as one. */
export function tiedWhole(model: Adaptable, found: readonly TrainedTensors[]): TrainedTensors[] {
  const head = tiedHead(model);
  const isOne = ({ module }: TrainedTensors) => module === head || module === head?.tiedTo;
  if (!head || !found.some(isOne)) return [...found];
  const names = found.find(({ module }) => module === head)?.names ?? ["weight"];
  return [
    ...found.filter((one) => !isOne(one)),
    { module: head.tiedTo, names: ["weight"] },
    { module: head, names, shares: { weight: head.tiedTo } },
  ];
}
