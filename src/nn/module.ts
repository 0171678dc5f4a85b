import type { Tape } from "../autograd/tape.ts";
import { scoped, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { checkOptions, objectOf, required } from "../util/options.ts";
import type { KvCache } from "./cache.ts";
import type { Geometry } from "./geometry.ts";

/** What travels with the activations through a forward pass. */
export interface Context {
  /** Records operations for a backward pass; absent where no gradient is wanted. */
  tape?: Tape | undefined;
  /** Dropout is active. */
  training: boolean;
  /** Seeds every random choice of this pass; the same seed repeats the pass exactly. */
  seed: number;
  /** Where the tokens stand: which document each belongs to, and its place in it. */
  geometry: Geometry;
  /** Kinds of segments of the tokens, u32 `[B, T]`, for encoders that tell them apart; all are 0 where it is absent. */
  tokenTypes?: Tensor | undefined;
  /** Keys and values of earlier tokens; absent while training. */
  cache?: KvCache | undefined;
  /** Told the output of every module as soon as it is recorded. */
  watch?: ((module: Module, output: Tensor) => void) | undefined;
  /** Layers keep only their input and are run again by the backward pass. */
  checkpoint?: boolean | undefined;
}

/** A piece of a model: a path in the checkpoint and a function of an activation. */
export interface Module {
  /** Its place in the checkpoint, such as `model.layers.0.self_attn.q_proj`. */
  readonly path: string;
  /** The modules right below it. */
  readonly children: readonly Module[];
  /** Children that compute from the same input. */
  readonly siblings?: Siblings;
  /** Set by an adapter; see {@link Wrap}. */
  wrap?: Wrap | undefined;
  /** The module's own function, without any adapter. */
  forward(x: Tensor, context: Context): Tensor;
}

/**
 * An adapter at one module: middleware around its function.
 * `next` runs the module itself; a wrap that can do better (a fused kernel) may compute from `site` instead.
 */
export type Wrap = (
  x: Tensor,
  context: Context,
  next: (x: Tensor, context: Context) => Tensor,
  site: Module,
) => Tensor;

/** Runs a module through its adapter, if it has one. The only way in which models run modules. */
export function call(module: Module, x: Tensor, context: Context): Tensor {
  const next = (x: Tensor, context: Context) => module.forward(x, context);
  const y = module.wrap ? module.wrap(x, context, next, module) : next(x, context);
  context.watch?.(module, y);
  return y;
}

/** Modules that compute from the same input, such as the projections of queries, keys and values. */
export interface Siblings {
  /** The modules, in the order of their outputs. */
  readonly members: readonly Module[];
  /** Set by an adapter that computes them together: their outputs, in order. */
  wrap?: ((x: Tensor, context: Context) => Tensor[]) | undefined;
}

/** Runs modules of the same input through their adapters. */
export function callAll({ members, wrap }: Siblings, x: Tensor, context: Context): Tensor[] {
  if (!wrap) return members.map((member) => call(member, x, context));
  const ys = wrap(x, context);
  members.forEach((member, i) => {
    context.watch?.(member, ys[i] as Tensor);
  });
  return ys;
}

/** A module and everything below it, parents first. */
export function* modules(root: Module): Generator<Module> {
  yield root;
  for (const child of root.children) yield* modules(child);
}

/** Runs one layer so that its intermediate tensors die with it, unless a tape keeps them. */
export function runLayer(layer: Module, x: Tensor, context: Context): Tensor {
  if (context.tape && context.checkpoint) {
    return context.tape.checkpoint(x, (tape, x) => call(layer, x, { ...context, tape }));
  }
  return scoped(x.device, () => call(layer, x, context));
}

/** Trees whose memory was freed. */
const released = new WeakSet<Module>();

/** Notes that the memory of a model's modules is freed: nothing may run them from now on. */
export function markReleased(root: Module): void {
  released.add(root);
}

/** @throws LoraError where the memory of these modules was freed */
export function requireLive(where: string, root: Module): void {
  if (released.has(root)) fail(where, "the model was released", "load it again");
}

const MODEL = required(
  objectOf("a model, as loadModel gives it", (model) => "root" in model && "device" in model),
);

/** @throws LoraError where what is given is no model */
export function checkModel(where: string, model: { readonly root: Module }): void {
  checkOptions(where, { model }, { model: MODEL });
}

/** @throws LoraError where what is given is no model, or one whose memory was freed */
export function requireModel(where: string, model: { readonly root: Module }): void {
  checkModel(where, model);
  requireLive(where, model.root);
}

/** A module with tensors of its own, which can compute with others in their place: a trained copy, say. */
export interface Leaf extends Module {
  /** By their names in the checkpoint, such as `weight`. */
  readonly tensors: Readonly<Record<string, Tensor>>;
  /** The module's function with these tensors. */
  forwardWith(tensors: Readonly<Record<string, Tensor>>, x: Tensor, context: Context): Tensor;
}

/** Whether a module owns tensors. */
export function isLeaf(module: Module): module is Leaf {
  return (module as Partial<Leaf>).tensors !== undefined;
}
