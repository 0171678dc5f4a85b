import type { Device } from "../gpu/device.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { type Module, modules, type Wrap } from "../nn/module.ts";
import { allocateParameters, type Parameters } from "../nn/parameters.ts";
import { fail } from "../util/fail.ts";
import { createRandom, type Random } from "../util/random.ts";

/** The part of a model that adapters need. */
export interface Adaptable {
  readonly device: Device;
  readonly root: Module;
  /** Linear layers that are adapted where the user names none. */
  readonly defaultTargets: readonly string[];
  /** Where the model came from, for the saved adapter. */
  readonly name?: string;
}

/** Tensors of one site by their name in PEFT's files, such as `lora_A`. */
export type SiteTensors = Readonly<Record<string, Tensor>>;

/** One way of adapting a model: LoRA, and whatever comes next. A method is one file. */
export interface Method {
  /** PEFT's `peft_type`. */
  readonly type: string;
  /** The modules of this model that the method adapts. @throws LoraError where a target matches nothing. */
  sites(model: Adaptable): readonly Module[];
  /** Shapes of a site's trainable tensors. */
  shapes(site: Module): Readonly<Record<string, readonly number[]>>;
  /** Initial values of one of them. */
  initialValues(name: string, shape: readonly number[], random: Random): Float32Array;
  /** The middleware that runs at the site. */
  wrap(site: Module, tensors: SiteTensors, index: number): Wrap;
}

/** A module that is adapted, and the tensors that adapt it. */
export interface Site {
  readonly module: Module;
  readonly tensors: SiteTensors;
}

/** A method applied to a model: the sites that it wrapped and its trainable tensors. */
export interface Adapter<M extends Method = Method> {
  readonly method: M;
  readonly sites: readonly Site[];
  readonly parameters: Parameters;
  /** Where the model came from, where that is known. */
  readonly baseModel: string | undefined;
  /** Whether the model runs through the adapter now. */
  readonly attached: boolean;
  /** Takes the adapter off (the base model is unchanged) or puts it on again. */
  enable(on: boolean): void;
  /** Takes the adapter off and frees its memory. */
  release(): void;
}

/**
 * Puts a method's adapters on a model. Only one adapter is on a module at a time.
 * @param seed of the initial values; the same seed gives the same bytes.
 */
export function attach<M extends Method>(model: Adaptable, method: M, { seed = 0 } = {}): Adapter<M> {
  const targets = method.sites(model);
  const taken = targets.find((module) => module.wrap);
  if (taken) fail("attach", `${taken.path} already has an adapter`, "release that one first");
  const wanted = targets.flatMap((module) =>
    Object.entries(method.shapes(module)).map(([name, shape]) => ({ name: `${module.path}.${name}`, shape })),
  );
  const parameters = allocateParameters(model.device, wanted);
  initialize(method, parameters, createRandom(seed));
  const tensors = new Map(parameters.entries.map(({ name, tensor }) => [name, tensor]));
  const sites = targets.map((module): Site => ({ module, tensors: siteTensors(method, module, tensors) }));
  return mount(method, sites, parameters, model.name);
}

function initialize(method: Method, { entries }: Parameters, random: Random): void {
  for (const { name, tensor } of entries) {
    // Every tensor has its own stream, so that adding a target does not change the others' values.
    const own = random.fork(name);
    tensor.write(method.initialValues(name.slice(name.lastIndexOf(".") + 1), tensor.shape, own));
  }
}

function siteTensors(method: Method, module: Module, all: ReadonlyMap<string, Tensor>): SiteTensors {
  const names = Object.keys(method.shapes(module));
  return Object.fromEntries(names.map((name) => [name, all.get(`${module.path}.${name}`) as Tensor]));
}

function mount<M extends Method>(
  method: M,
  sites: readonly Site[],
  parameters: Parameters,
  baseModel: string | undefined,
): Adapter<M> {
  const wraps = sites.map(({ module, tensors }, i) => method.wrap(module, tensors, i));
  let attached = false;
  let released = false;
  const enable = (on: boolean) => {
    if (released) fail("adapter", "it was released", "attach a new one");
    for (const [i, { module }] of sites.entries()) module.wrap = on ? wraps[i] : undefined;
    attached = on;
  };
  enable(true);
  return {
    method,
    sites,
    parameters,
    baseModel,
    get attached() {
      return attached;
    },
    enable,
    release() {
      enable(false);
      released = true;
      parameters.flat.device.memory.release(parameters.flat.storage);
    },
  };
}

/** All modules of a model that satisfy a predicate. */
export function findModules<T extends Module>(root: Module, accepts: (module: Module) => module is T): T[] {
  return [...modules(root)].filter(accepts);
}
