import type { Device } from "../gpu/device.ts";
import { scoped, type Tensor } from "../gpu/tensor.ts";
import { castToFloat } from "../kernels/cast.ts";
import type { AdapterList, NamedAdaptation } from "../nn/adapter-list.ts";
import {
  isLeaf,
  type JointWrap,
  type Leaf,
  type LeafTensors,
  type Module,
  modules,
  requireLive,
  requireModel,
  type Siblings,
  type Wrap,
} from "../nn/module.ts";
import { allocateParameters, isStackable, type Parameters } from "../nn/parameters.ts";
import { fail } from "../util/fail.ts";
import { checkOptions, integer, objectOf, type Rules, required, words } from "../util/options.ts";
import { createRandom, type Random } from "../util/random.ts";

/** The part of a model that adapters need. */
export interface Adaptable {
  /** Where the weights are. */
  readonly device: Device;
  /** The tree of modules; paths are those of the checkpoint. */
  readonly root: Module;
  /** The adapters that its passes go through. */
  readonly adapters: AdapterList;
  /** Linear layers that PEFT adapts where a configuration names none. */
  readonly defaultTargets: readonly string[];
  /** Where the model came from, for the saved adapter. */
  readonly name?: string;
  /** The repository of the hub that it came from, and its revision. */
  readonly hub?: { readonly repo: string; readonly revision: string | undefined } | undefined;
  /** What the model is for, such as `causal-lm`. */
  readonly task?: string;
  /** Name of its class in transformers, such as `LlamaForCausalLM`. */
  readonly architecture?: string;
  /** `model_type` of its config. */
  readonly modelType?: string;
  /** Paths of layers that the class in transformers has and this model does without, such as an unused pooler. */
  readonly absentModules?: readonly string[];
  /** Names of a classifier's classes, in order. */
  readonly labels?: readonly string[];
  /** Names of the modules of a task's head, which are trained whole. */
  readonly headModules?: readonly string[];
  /** Tensors of the head that the checkpoint lacks and that were initialised at random. */
  readonly initialised?: readonly string[];
  /** Tensors that belong to no module of the tree, such as those of embeddings: no adapter reaches them. */
  readonly looseTensors?: readonly string[];
}

/** Tensors of one site by their name in PEFT's files, such as `lora_A`. */
export type SiteTensors = LeafTensors;

/** One way of adapting a model: LoRA, and whatever comes next. A method is one file. */
export interface Method {
  /** PEFT's `peft_type`. */
  readonly type: string;
  /** Why its tensors must not be trained, and what to do about it; absent where they may. */
  readonly locked?: Parameters["locked"];
  /** The modules of this model that the method adapts. @throws LoraError where a target matches nothing. */
  sites(model: Adaptable): readonly Module[];
  /** Shapes of a site's trainable tensors. */
  shapes(site: Module): Readonly<Record<string, readonly number[]>>;
  /** Initial values of one of them. */
  initialValues(name: string, shape: readonly number[], random: Random): Float32Array;
  /** Modules that are trained whole, with all below them: PEFT's `modules_to_save`. */
  saved?(model: Adaptable): readonly Module[];
  /** The middleware that runs at the site. */
  wrap(site: Module, tensors: SiteTensors, index: number): Wrap;
  /** How sites that compute from the same input are computed together, where the method can do that. */
  readonly together?: Together;
  /**
   * What computes each tensor of the site that has the adapter in it, by name, where the method allows it: the site
   * with these tensors does what the adapted site does outside training.
   */
  merge?(site: Module, tensors: SiteTensors): Readonly<Record<string, () => Tensor>>;
}

/** How a method computes several sites of one input at once. */
export interface Together {
  /** The tensor, by its name, that the sites have the rows of in one matrix, one site after another. */
  readonly stacked: string;
  /** Whether it can compute these, which are all the sites among some siblings. */
  accepts(sites: readonly Module[]): boolean;
  /** Computes siblings, among which are these sites, with the stacked tensor of all. */
  wrap(siblings: Siblings, sites: readonly Site[], stack: Tensor): JointWrap;
}

/** A module that is adapted, and the tensors that adapt it. */
export interface Site {
  /** The layer. */
  readonly module: Module;
  /** Its trainable tensors by name, such as `lora_A`. */
  readonly tensors: SiteTensors;
}

/** A method applied to a model: the sites that it wraps and its trainable tensors. */
export interface Adapter<M extends Method = Method> extends NamedAdaptation {
  /** What was attached, with its options settled. */
  readonly method: M;
  /** The adapted layers, in the order of the model. */
  readonly sites: readonly Site[];
  /** Modules that are trained whole: the trained copies of their tensors, by their names in the checkpoint. */
  readonly saved: readonly Site[];
  /** All trainable tensors, f32, in one buffer. */
  readonly parameters: Parameters;
  /** The model that was adapted. */
  readonly base: Adaptable;
  /** Whether it is on its model's list, so that passes go through it which choose no others. */
  readonly attached: boolean;
  /** Takes the adapter off its model's list, or puts it behind the others there. */
  enable(on: boolean): void;
  /** Takes the adapter off and frees its memory; it can't be used then. */
  release(): void;
}

/** Options of {@link attach}. */
export interface AttachOptions {
  /** Of the initial values; the same seed gives the same bytes. 0 unless given. */
  seed?: number;
  /** Tells it from the other adapters of the model's list; `default` unless given, as in PEFT. */
  name?: string;
}

const RULES: Rules<AttachOptions> = { seed: integer({ min: 0 }), name: words("adapter_name") };

/**
 * Makes a method's adapter for a model and puts it on the model's list, behind the adapters that are there: the model
 * runs through all of them. `model.withAdapters` runs it with others, or without any.
 * @throws LoraError where the list has an adapter of that name, and as the method does
 */
export function attach<M extends Method>(
  model: Adaptable,
  method: M,
  options: AttachOptions = {},
): Adapter<M> {
  checkOptions("attach", options, RULES);
  requireModel("attach", model);
  if (typeof method?.sites !== "function")
    fail("attach", "the method is none", "give one, such as lora({ r: 8 })");
  const { seed = 0, name = "default" } = options;
  if (model.adapters.all.some((other) => other.name === name)) {
    const help = "give this one a name, or release that one (or take it off) first";
    fail("attach", `the model has an adapter ${JSON.stringify(name)} already`, help);
  }
  const targets = method.sites(model);
  const leaves = leavesBelow(method.saved?.(model) ?? []);
  const wanted = targets.flatMap((module) => named(module, method.shapes(module)));
  const copies = leaves.flatMap((leaf) => named(leaf, shapesOf(leaf)));
  const groups = findGroups(model, method, targets);
  const stacked = groups.map(({ members }) =>
    members.map(({ path }) => `${path}.${method.together?.stacked}`),
  );
  const parameters = allocateParameters(model.device, [...wanted, ...copies], stacked);
  const tensors = new Map(parameters.entries.map(({ name, tensor }) => [name, tensor]));
  initialize(method, wanted, tensors, createRandom(seed));
  const site = (module: Module, names: object): Site => ({
    module,
    tensors: siteTensors(module, Object.keys(names), tensors),
  });
  const sites = targets.map((module) => site(module, method.shapes(module)));
  const saved = leaves.map((leaf) => site(leaf, leaf.tensors));
  for (const { module, tensors } of saved) copyTensors(module as Leaf, tensors);
  const { locked } = method;
  const lockable = locked ? { ...parameters, locked } : parameters;
  return mount({ name, method, sites, saved, parameters: lockable, base: model }, groups);
}

/** Sites that a method computes together, among the siblings that they are. */
interface Group {
  siblings: Siblings;
  members: readonly Module[];
}

function findGroups(model: Adaptable, method: Method, targets: readonly Module[]): Group[] {
  const { together } = method;
  if (!together) return [];
  const sites = new Set(targets);
  const groups = [...modules(model.root)].flatMap(({ siblings }): Group[] =>
    siblings ? [{ siblings, members: siblings.members.filter((member) => sites.has(member)) }] : [],
  );
  return groups.filter(({ members }) => {
    const stacked = members.map((member) => method.shapes(member)[together.stacked] ?? []);
    return members.length > 1 && isStackable(stacked) && together.accepts(members);
  });
}

/** The modules that own tensors, at and below these; each once. */
function leavesBelow(roots: readonly Module[]): Leaf[] {
  return [...new Set(roots.flatMap((root) => [...modules(root)]))].filter(isLeaf);
}

function shapesOf({ tensors }: Leaf): Record<string, readonly number[]> {
  return Object.fromEntries(Object.entries(tensors).map(([name, { shape }]) => [name, shape]));
}

function named(module: Module, shapes: Readonly<Record<string, readonly number[]>>) {
  return Object.entries(shapes).map(([name, shape]) => ({ name: `${module.path}.${name}`, shape }));
}

/** The trained copies begin at the base model's values. */
function copyTensors(leaf: Leaf, copies: SiteTensors): void {
  for (const [name, copy] of Object.entries(copies)) {
    scoped(copy.device, () => {
      copy.copyFrom(castToFloat(leaf.tensors[name] as Tensor));
      return undefined;
    });
  }
}

function initialize(
  method: Method,
  wanted: readonly { name: string; shape: readonly number[] }[],
  tensors: ReadonlyMap<string, Tensor>,
  random: Random,
): void {
  for (const { name, shape } of wanted) {
    // Every tensor has its own stream, so that adding a target does not change the others' values.
    const own = random.fork(name);
    tensors.get(name)?.write(method.initialValues(name.slice(name.lastIndexOf(".") + 1), shape, own));
  }
}

function siteTensors(
  module: Module,
  names: readonly string[],
  all: ReadonlyMap<string, Tensor>,
): SiteTensors {
  return Object.fromEntries(names.map((name) => [name, all.get(`${module.path}.${name}`) as Tensor]));
}

function mount<M extends Method>(
  parts: Omit<Adapter<M>, keyof NamedAdaptation | "attached" | "enable" | "release"> & { name: string },
  groups: readonly Group[],
): Adapter<M> {
  const { method, sites, saved, parameters, base } = parts;
  const joint = groups.map(({ siblings, members }, i): [Siblings, JointWrap] => {
    const own = sites.filter(({ module }) => members.includes(module));
    const { wrap } = method.together as Together;
    return [siblings, wrap(siblings, own, parameters.stacks[i] as Tensor)];
  });
  let released = false;
  const adapter: Adapter<M> = {
    ...parts,
    wraps: new Map(sites.map(({ module, tensors }, i) => [module, method.wrap(module, tensors, i)])),
    joint: new Map(joint),
    copies: new Map(saved.map(({ module, tensors }) => [module as Leaf, tensors])),
    get attached() {
      return base.adapters.has(adapter);
    },
    get released() {
      return released;
    },
    enable(on) {
      if (released) fail("adapter", "it was released", "attach a new one");
      if (on) base.adapters.add(adapter);
      else base.adapters.remove(adapter);
    },
    release() {
      base.adapters.remove(adapter);
      if (released) return;
      released = true;
      parameters.flat.device.memory.release(parameters.flat.storage);
    },
  };
  base.adapters.add(adapter);
  owners.set(parameters, adapter);
  return adapter;
}

/** Whose trainable tensors these are. */
const owners = new WeakMap<Parameters, Adapter>();

const ADAPTER = required(
  objectOf("an adapter, as attach gives it", (adapter) => "method" in adapter && "parameters" in adapter),
);
const PARAMETERS = required(
  objectOf("trainable tensors, as adapter.parameters", (given) => "flat" in given && "entries" in given),
);

/** @throws LoraError where what is given is no adapter, or one whose memory was freed */
export function requireAdapter(where: string, adapter: Pick<Adapter, "released">): void {
  checkOptions(where, { adapter }, { adapter: ADAPTER });
  if (adapter.released) fail(where, "the adapter was released", "attach or load a new one");
}

/** @throws LoraError where an adapter is on another model than the one with these modules, or either was released */
export function requireAdapterOf(
  where: string,
  adapter: Pick<Adapter, "released" | "base">,
  root: Module,
): void {
  requireLive(where, root);
  requireAdapter(where, adapter);
  const { root: own, name = "another model" } = adapter.base;
  if (own !== root) fail(where, `the adapter is on another model (${name})`, "give one of this model");
}

/** What a run trains in: the modules, and the adapters that its passes go through. */
export interface TrainedModel {
  readonly root?: Module | undefined;
  readonly adapters?: AdapterList | undefined;
}

/**
 * Checks that trainable tensors can be trained in a model: they are no adapter's at all, or those of one that its passes
 * go through.
 * @throws LoraError where they are none, or the adapter is off, was released, or is on another model
 */
export function requireTrainable(
  where: string,
  parameters: Parameters,
  { root, adapters }: TrainedModel,
): void {
  checkOptions(where, { parameters }, { parameters: PARAMETERS });
  const adapter = owners.get(parameters);
  if (!adapter) return;
  requireAdapterOf(where, adapter, root ?? adapter.base.root);
  const help = "put it on: adapter.enable(true), or give model.withAdapters([adapter])";
  if (adapters?.has(adapter) === false) {
    fail(where, "the adapter is off, so the model would not learn", help);
  }
}

/** All modules of a model that satisfy a predicate. */
export function findModules<T extends Module>(root: Module, accepts: (module: Module) => module is T): T[] {
  return [...modules(root)].filter(accepts);
}
