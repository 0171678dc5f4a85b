import type { Tensor } from "../gpu/tensor.ts";
import type { Weight } from "../kernels/weight.ts";
import type { NamedAdaptation } from "../nn/adapter-list.ts";
import { type JointWrap, type Leaf, type Module, requireModel, type Siblings } from "../nn/module.ts";
import type { Parameters } from "../nn/parameters.ts";
import { fail } from "../util/fail.ts";
import { checkOptions, FACTOR, integer, number, type Rules, required, words } from "../util/options.ts";
import { allocateTensors, type Group } from "./allocate.ts";
import type { Adaptable, AdapterTensors, Method, Site, Together, WrapGiven } from "./method.ts";
import { noteOwner } from "./owners.ts";

/** A method applied to a model: the sites that it wraps and its tensors. */
export interface Adapter<M extends Method = Method> extends NamedAdaptation, AdapterTensors {
  /** What was attached, with its options settled. */
  readonly method: M;
  /** Modules with trained copies of their tensors, by their names in the checkpoint. */
  readonly saved: readonly Site<Leaf>[];
  /** All trainable tensors, f32, in one buffer. */
  readonly parameters: Parameters;
  /** All tensors that stay as they began, in another; absent where there are none. */
  readonly frozen: Parameters | undefined;
  /** The model that was adapted. */
  readonly base: Adaptable;
  /** Whether it is on its model's list, so that passes go through it which choose no others. */
  readonly attached: boolean;
  /** Takes the adapter off its model's list, or puts it behind the others there. */
  enable(on: boolean): void;
  /**
   * The same adapter with its update multiplied by a factor, for `model.withAdapters`: nothing is copied.
   * @throws LoraError where the method has no such factor
   */
  scaled(factor: number): NamedAdaptation;
  /** Takes the adapter off and frees its memory; it can't be used then. */
  release(): void;
}

/** Options of {@link attach}. */
export interface AttachOptions {
  /** Of the initial values; the same seed gives the same bytes. 0 unless given. */
  seed?: number;
  /** Tells it from the other adapters of the model's list; `default` unless given, as in PEFT. */
  name?: string | undefined;
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
  if (model.layerReplication && !method.notesReplication) {
    const got = `the model's layers are stacked anew (layer_replication), and a file of ${method.type} could not say so`;
    fail("attach", got, "take LoRA, or load the model without");
  }
  const { seed = 0, name = "default" } = options;
  if (model.adapters.all.some((other) => other.name === name)) {
    const help = "give this one a name, or release that one (or take it off) first";
    fail("attach", `the model has an adapter ${JSON.stringify(name)} already`, help);
  }
  const { groups, ...parts } = allocateTensors(model, method, seed);
  const adapter = mount({ name, method, base: model, ...parts }, groups);
  try {
    model.adapters.add(adapter);
  } catch (error) {
    adapter.release();
    throw error;
  }
  return adapter;
}

type Parts<M extends Method> = Pick<
  Adapter<M>,
  "name" | "method" | "sites" | "shared" | "saved" | "parameters" | "frozen" | "base"
>;

function mount<M extends Method>(parts: Parts<M>, groups: readonly Group[]): Adapter<M> {
  const { base, frozen, method } = parts;
  const { afterStep, penalty } = method;
  const parameters: Parameters = {
    ...parts.parameters,
    ...(method.locked && { locked: method.locked }),
    ...(penalty && { penalty: (weight, gradients) => penalty(parts, weight, gradients) }),
    ...(afterStep && { afterStep: (step) => afterStep(parts, step) }),
    ...(frozen && (afterStep ? { kept: { adapter: frozen.flat } } : { still: frozen.flat })),
  };
  let released = false;
  const adapter: Adapter<M> = {
    ...parts,
    parameters,
    ...actionsOf(parts, groups, { factor: 1 }),
    ...invocationOf(parts, groups, { factor: 1 }),
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
    scaled(factor) {
      checkOptions("scaled", { factor }, FACTOR_RULES);
      if (!method.scales) fail("scaled", `${method.type} has no factor of its update`, "use it as it is");
      return {
        ...actionsOf(parts, groups, { factor }),
        ...invocationOf(parts, groups, { factor }),
        name: parts.name,
        get released() {
          return released;
        },
      };
    },
    release() {
      base.adapters.remove(adapter);
      if (released) return;
      released = true;
      method.bases?.release();
      for (const { flat } of frozen ? [parameters, frozen] : [parameters]) {
        flat.device.memory.release(flat.storage);
      }
    },
  };
  method.bases?.use();
  noteOwner(parameters, adapter);
  return adapter;
}

const FACTOR_RULES: Rules<{ factor: number }> = { factor: required(number({ ...FACTOR, min: -FACTOR.max })) };

type AnyParts = Omit<Parts<Method>, "method"> & { method: Method };

/** What wakes an adapter up, where something does. */
function invocationOf(
  parts: AnyParts,
  groups: readonly Group[],
  given: Pick<WrapGiven, "factor">,
): Pick<NamedAdaptation, "invocation"> {
  const sequence = parts.method.invocation?.(parts.base);
  if (!sequence) return {};
  return {
    invocation: { sequence, acting: (tokens) => actionsOf(parts, groups, { ...given, acting: { tokens } }) },
  };
}

/** What an adapter does in a pass, its update multiplied by a factor. */
function actionsOf(
  { method, sites, shared, saved, parameters }: AnyParts,
  groups: readonly Group[],
  given: Pick<WrapGiven, "factor" | "acting">,
): Pick<NamedAdaptation, "wraps" | "joint" | "copies" | "virtual"> {
  const { together } = method;
  const joint = groups.map(({ siblings, members }, i): [Siblings, JointWrap] => {
    const own = sites.filter(({ module }) => members.includes(module));
    const { wrap } = together as Together;
    return [siblings, wrap(siblings, own, parameters.stacks[i] as Tensor, given.factor)];
  });
  const copies = sites.flatMap((site): [Leaf, Site["tensors"]][] =>
    method.copies ? [[site.module as Leaf, method.copies(site)]] : [],
  );
  const tensorsAt = new Map(sites.map(({ module, tensors }) => [module, tensors]));
  const at = (module: Module) => tensorsAt.get(module) ?? {};
  const wraps = sites.flatMap((site, index) => {
    const wrap = method.wrap?.(site, { index, shared, at, ...given });
    return wrap ? [[site.module, wrap] as const] : [];
  });
  return {
    wraps: new Map(wraps),
    joint: new Map(joint),
    copies: new Map<Leaf, Readonly<Record<string, Weight>>>([
      ...(method.bases?.tensors ?? []),
      ...copies,
      ...saved.map(({ module, tensors }) => [module, tensors] as const),
    ]),
    virtual: method.virtual?.(shared),
  };
}
