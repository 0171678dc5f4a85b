import type { Tensor } from "../gpu/tensor.ts";
import { AdapterList, type NamedAdaptation } from "../nn/adapter-list.ts";
import { placeTokens, wholeRows } from "../nn/geometry.ts";
import type { Context } from "../nn/module.ts";
import type { PoolingMode } from "../nn/pooling.ts";

/** What lets a model run with adapters. */
export interface Adaptive {
  /** The adapters that every pass goes through which says nothing else; `attach` puts them here. */
  readonly adapters: AdapterList;
  /**
   * The same model with these adapters in place of its own list, and a list of its own: for one call, or for passes that
   * take turns with others. Without any it is the base model. Nothing is copied and nothing else changes.
   * @param chosen in order, nearest the modules first
   * @throws LoraError where two are of one name, or train the same tensor whole
   */
  withAdapters<M>(this: M, chosen: readonly NamedAdaptation[]): M;
}

type Pass = (x: Tensor, context?: Partial<Context>) => Tensor;

/** The functions that run a model, each of a tensor and the context of its pass. */
interface Passes {
  readonly hidden?: Pass;
  readonly logits?: Pass;
  readonly embed?: Pass;
  readonly pooling?: PoolingMode;
  withPooling?(mode: PoolingMode): Passes;
}

/** A model whose passes go through its list of adapters, unless their context names others. */
export function adaptive<M extends object>(model: M): M & Adaptive {
  const passes = model as Passes;
  return { ...model, ...through(passes, new AdapterList()), withAdapters: chooser(passes) };
}

function chooser(passes: Passes): Adaptive["withAdapters"] {
  return function <M>(this: M, chosen: readonly NamedAdaptation[]): M {
    return { ...this, ...through(passes, new AdapterList(chosen)) };
  };
}

/** The functions with a list's adapters in the context, and the list. */
function through({ pooling, withPooling, hidden, logits, embed }: Passes, adapters: AdapterList) {
  const pass =
    (run: Pass): Pass =>
    (x, context) =>
      run(x, { ...context, adapters: context?.adapters ?? adapters.active });
  const tokens =
    (run: Pass): Pass =>
    (ids, context) =>
      run(ids, { ...contextOf(ids, context), adapters: context?.adapters ?? adapters.active });
  return {
    adapters,
    ...(hidden && { hidden: tokens(hidden) }),
    ...(logits && { logits: pass(logits) }),
    ...(embed && { embed: tokens(embed) }),
    ...(pooling && { pooling }),
    ...(withPooling && {
      withPooling(mode: PoolingMode) {
        const pooled = withPooling(mode);
        return { ...through(pooled, adapters), withAdapters: chooser(pooled) };
      },
    }),
  };
}

/** A pass outside training, over whole rows where nothing else is said of ids `[B, T]`. */
function contextOf({ device, shape }: Tensor, given: Partial<Context> = {}): Context {
  const [batch = 0, length = 0] = shape;
  const geometry = given.geometry ?? placeTokens(device, wholeRows(batch, length));
  return { training: false, seed: 0, ...given, geometry };
}
