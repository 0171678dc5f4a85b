import type { Device } from "../gpu/device.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { AdapterList, type NamedAdaptation } from "../nn/adapter-list.ts";
import type { KvCache } from "../nn/cache.ts";
import { placeTokens, wholeRows } from "../nn/geometry.ts";
import type { Context } from "../nn/module.ts";
import type { PoolingMode } from "../nn/pooling-modes.ts";
import { RowAdapters } from "../nn/row-adapters.ts";
import { passWithVirtualTokens, primeCache } from "../nn/virtual-tokens.ts";
import { fail } from "../util/fail.ts";

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

/** The functions that run a model, most of them of a tensor and the context of its pass. */
interface Passes {
  readonly device: Device;
  readonly config?: { readonly maxPositions?: number };
  readonly hidden?: Pass;
  readonly logits?: Pass;
  readonly embed?: Pass;
  readonly pooling?: PoolingMode;
  withPooling?(mode: PoolingMode): Omit<Passes, "device">;
  newCache?(capacity: number, batchSize?: number): KvCache;
  keepsCache?(past: number, length: number): boolean;
  rotatesAlike?(a: number, b: number): boolean;
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
function through(passes: Passes, adapters: AdapterList) {
  const { device, pooling, withPooling, hidden, logits, embed } = passes;
  const pass =
    (run: Pass): Pass =>
    (x, context) =>
      run(x, { ...context, adapters: context?.adapters ?? adapters.activeFor(x) });
  const tokens =
    (run: Pass): Pass =>
    (ids, given) => {
      const context = contextOf(ids, given);
      const own = () => adapters.activeFor(ids, context.geometry);
      return run(ids, { ...context, adapters: context.adapters ?? own() });
    };
  const own = {
    ...(hidden && {
      hidden: tokens((ids, context) => passWithVirtualTokens(hidden, ids, context as Context)),
    }),
    ...(logits && { logits: pass(logits) }),
  };
  return {
    adapters,
    ...own,
    ...(hidden && logits && { ownPasses: own }),
    ...cachesBehindVirtual(passes, adapters),
    ...(embed && { embed: tokens(embed) }),
    ...(pooling && { pooling }),
    ...(withPooling && {
      withPooling(mode: PoolingMode) {
        const pooled = { device, ...withPooling(mode) };
        return { ...through(pooled, adapters), ...choosers(pooled) };
      },
    }),
  };
}

/** A decoder's caches begin with the virtual tokens of its adapters, if any; the lengths of texts count from there. */
function cachesBehindVirtual(
  { device, config, hidden, newCache, keepsCache, rotatesAlike }: Passes,
  adapters: AdapterList,
): Pick<Passes, "newCache" | "keepsCache" | "rotatesAlike"> {
  const behind = (compare: (a: number, b: number) => boolean) => (a: number, b: number) =>
    compare(a + adapters.virtualTokens, b + adapters.virtualTokens);
  return {
    ...(keepsCache && { keepsCache: behind(keepsCache) }),
    ...(rotatesAlike && { rotatesAlike: behind(rotatesAlike) }),
    ...(hidden &&
      newCache && {
        newCache(capacity: number, batchSize?: number) {
          if (adapters.virtualTokens === 0) return newCache(capacity, batchSize);
          const { virtual } = adapters.active;
          if (virtual?.isRotated && rotatesAlike?.(1, config?.maxPositions ?? 1) === false) {
            const got = "the model rotates all keys of a text by its length, those of its virtual tokens too";
            fail(
              "newCache",
              got,
              "for texts that grow use prefix tuning, whose keys are not rotated, or LoRA",
            );
          }
          const cache = newCache(capacity + adapters.virtualTokens, batchSize);
          return primeCache(cache, device, hidden, adapters.active);
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
