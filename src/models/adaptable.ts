import type { Tensor } from "../gpu/tensor.ts";
import { AdapterList, type NamedAdaptation } from "../nn/adapter-list.ts";
import { placeTokens, wholeRows } from "../nn/geometry.ts";
import type { Context } from "../nn/module.ts";
import type { PoolingMode } from "../nn/pooling.ts";
import { RowAdapters } from "../nn/row-adapters.ts";

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
  /**
   * The same model for batches of so many rows, each of which goes through adapters of its own: `[[a], [], [b, c]]`.
   * Rows of the same adapters are computed together, and everything but the adapters is computed once for all rows.
   * @throws LoraError as {@link withAdapters} does; in a pass of another number of rows; and in that of an adapter that
   * asks for the place of its tokens in the batch
   */
  withRowAdapters<M>(this: M, rows: readonly (readonly NamedAdaptation[])[]): M;
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
  return { ...model, ...through(passes, new AdapterList()), ...choosers(passes) };
}

function choosers(passes: Passes): Pick<Adaptive, "withAdapters" | "withRowAdapters"> {
  return {
    withAdapters(chosen) {
      return { ...this, ...through(passes, new AdapterList(chosen)) };
    },
    withRowAdapters(rows) {
      return { ...this, ...through(passes, new RowAdapters(rows)) };
    },
  };
}

/** The functions with a list's adapters in the context, and the list. */
function through({ pooling, withPooling, hidden, logits, embed }: Passes, adapters: AdapterList) {
  const pass =
    (run: Pass): Pass =>
    (x, context) =>
      run(x, { ...context, adapters: context?.adapters ?? adapters.activeFor(x) });
  const tokens =
    (run: Pass): Pass =>
    (ids, context) =>
      run(ids, { ...contextOf(ids, context), adapters: context?.adapters ?? adapters.activeFor(ids) });
  return {
    adapters,
    ...(hidden && { hidden: tokens(hidden) }),
    ...(logits && { logits: pass(logits) }),
    ...(embed && { embed: tokens(embed) }),
    ...(pooling && { pooling }),
    ...(withPooling && {
      withPooling(mode: PoolingMode) {
        const pooled = withPooling(mode);
        return { ...through(pooled, adapters), ...choosers(pooled) };
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
