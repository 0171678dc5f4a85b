import type { Tape } from "../autograd/tape.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { KvCache } from "./cache.ts";

/** What travels with the activations through a forward pass. */
export interface Context {
  /** Records operations for a backward pass; absent where no gradient is wanted. */
  tape?: Tape | undefined;
  /** Dropout is active. */
  training: boolean;
  /** Seeds every random choice of this pass; the same seed repeats the pass exactly. */
  seed: number;
  /** Valid tokens of each sequence of a right-padded batch, u32 `[B]`; absent where all are valid. */
  lengths?: Tensor | undefined;
  /** Tokens of the longest sequence of a padded batch; absent where that is the batch's length. */
  longest?: number | undefined;
  /** Keys and values of earlier tokens; absent while training. */
  cache?: KvCache | undefined;
  /** Layers keep only their input and are run again by the backward pass. */
  checkpoint?: boolean | undefined;
}

/** A piece of a model: a path in the checkpoint and a function of an activation. */
export interface Module {
  readonly path: string;
  readonly children: readonly Module[];
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
  return module.wrap ? module.wrap(x, context, next, module) : next(x, context);
}

/** A module and everything below it, parents first. */
export function* modules(root: Module): Generator<Module> {
  yield root;
  for (const child of root.children) yield* modules(child);
}
