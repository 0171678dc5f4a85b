import type { Tape } from "../autograd/tape.ts";
import { scoped, type Tensor } from "../gpu/tensor.ts";
import type { InputNorm } from "../kernels/matmul.ts";
import type { Weight } from "../kernels/weight.ts";
import { fail } from "../util/fail.ts";
import { checkOptions, objectOf, required } from "../util/options.ts";
import type { KvCache } from "./cache.ts";
import type { Geometry } from "./geometry.ts";
import type { PlacedTokens, VirtualTokens } from "./virtual.ts";

/** `f32`, or `mixed`: activations and their gradients are kept in f16 and computed with in f32, all else is f32. */
export type Precision = (typeof PRECISIONS)[number];

/** What passes are computed in. */
export const PRECISIONS = ["f32", "mixed"] as const;

/** What travels with the activations through a forward pass. */
export interface Context {
  /** Records operations for a backward pass; absent where no gradient is wanted. */
  tape?: Tape | undefined;
  /** Dropout is active. */
  training: boolean;
  /** Seeds every random choice of this pass; the same seed repeats the pass exactly. */
  seed: number;
  /** NEFTune's alpha: how much noise is added to the embeddings of words while training; none where it is absent. */
  embeddingNoise?: number | undefined;
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
  /** What activations lie in between the embeddings and the last norm; `f32` where it is absent. */
  precision?: Precision | undefined;
  /** The adapters that this pass goes through. A model's own functions put its list here where nothing is given. */
  adapters?: Adaptation | undefined;
  /** The virtual tokens among those of the pass. */
  virtual?: PlacedTokens | undefined;
}

/** A piece of a model: a path in the checkpoint and a function of an activation. */
export interface Module {
  /** Its place in the checkpoint, such as `model.layers.0.self_attn.q_proj`. */
  readonly path: string;
  /** The modules right below it. */
  readonly children: readonly Module[];
  /** Children that compute from the same input. */
  readonly siblings?: Siblings;
  /** The module's own function, which no adapter wraps. */
  forward(x: Tensor, context: Context): Tensor;
}

/** The function of a module, or of one with adapters around it. */
export type Forward = Module["forward"];

/**
 * An adapter at one module: middleware around its function.
 * @param next the module with the adapters of the list before this one; `site.forward` itself where there are none, and
 * then a wrap that can do better (a fused kernel) may compute from `site`'s tensors ({@link tensorsOf}) instead
 */
export type Wrap = (x: Tensor, context: Context, next: Forward, site: Module) => Tensor;

/** An adapter at modules of one input: computes the outputs of all of them, in order. */
export type JointWrap = (x: Tensor, context: Context) => Tensor[];

/** What an adapter does in a pass, or several of them in a row: looked up, never changed. */
export interface Adaptation {
  /** What surrounds the modules. */
  readonly wraps: ReadonlyMap<Module, Wrap>;
  /** What computes siblings together; such an adapter has a wrap at each of them, too. */
  readonly joint: ReadonlyMap<Siblings, JointWrap>;
  /** Tensors that modules compute with in place of their own: trained copies. */
  readonly copies: ReadonlyMap<Leaf, Readonly<Record<string, Weight>>>;
  /** It differs from row to row, so that its modules have to see every row of the batch. */
  readonly byRows?: boolean;
  /** What stands before the first token of every document. */
  readonly virtual?: VirtualTokens | undefined;
}

/** Runs a module through the adapters of the pass. The only way in which models run modules. */
export function call(module: Module, x: Tensor, context: Context): Tensor {
  const wrap = context.adapters?.wraps.get(module);
  const y = wrap ? wrap(x, context, module.forward, module) : module.forward(x, context);
  context.watch?.(module, y);
  return y;
}

/** Modules that compute from the same input, such as the projections of queries, keys and values. */
export interface Siblings {
  /** The modules, in the order of their outputs. */
  readonly members: readonly Module[];
  /** Computes all of them where no adapter surrounds one and nothing is recorded. */
  readonly together?: (x: Tensor, context: Context) => Tensor[];
  /** The same for the norm of x, where that comes without a further dispatch. */
  readonly ofNorm?: (x: Tensor, norm: InputNorm, context: Context) => Tensor[] | undefined;
}

/** Runs modules of the same input through the adapters of the pass. */
export function callAll(siblings: Siblings, x: Tensor, context: Context): Tensor[] {
  const { members } = siblings;
  const joint = context.adapters?.joint.get(siblings) ?? plainTogether(siblings, context);
  if (!joint) return members.map((member) => call(member, x, context));
  const ys = joint(x, context);
  members.forEach((member, i) => {
    context.watch?.(member, ys[i] as Tensor);
  });
  return ys;
}

function plainTogether({ members, together }: Siblings, context: Context): JointWrap | undefined {
  return context.tape || isAnyWrapped(members, context) ? undefined : together;
}

/** Whether an adapter of the pass surrounds one of these. */
export function isAnyWrapped(members: readonly Module[], { adapters }: Pick<Context, "adapters">): boolean {
  return adapters !== undefined && members.some((member) => adapters.wraps.has(member));
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

/** Tensors by their names in the checkpoint, such as `weight`. */
export type LeafTensors = Readonly<Record<string, Tensor>>;

/** A module with tensors of its own. Its function takes them from {@link tensorsOf}, since a pass may have others. */
export interface Leaf extends Module {
  /** The module's own, frozen or not. */
  readonly tensors: Readonly<Record<string, Weight>>;
}

/** The tensors that a module computes with in this pass: its own, or trained copies of them. */
export function tensorsOf<L extends Leaf>(leaf: L, { adapters }: Pick<Context, "adapters">): L["tensors"] {
  const copies = adapters?.copies.get(leaf);
  return copies ? { ...leaf.tensors, ...copies } : leaf.tensors;
}

/** Whether a module owns tensors. */
export function isLeaf(module: Module): module is Leaf {
  return (module as Partial<Leaf>).tensors !== undefined;
}
