import * as ops from "../autograd/ops.ts";
import type { Device } from "../gpu/device.ts";
import { fromArray, scoped, type Tensor } from "../gpu/tensor.ts";
import { largest } from "../util/arrays.ts";
import { fail } from "../util/fail.ts";
import type { KvCache } from "./cache.ts";
import { type Layout, placeTokens, wholeRows } from "./geometry.ts";
import type { Adaptation, Context } from "./module.ts";
import type { VirtualTokens } from "./virtual.ts";

type Hidden = (ids: Tensor, context: Context) => Tensor;

/**
 * Runs a model's pass over ids `[B, T]` with the adapters' virtual tokens before each document, and gives the states of
 * the ids alone. Where the pass has a cache, that begins with them ({@link primeCache}).
 * @throws LoraError where the cache does not
 */
export function passWithVirtualTokens(hidden: Hidden, ids: Tensor, context: Context): Tensor {
  const { adapters, cache, geometry, tape } = context;
  const tokens = adapters?.virtual;
  if (cache) {
    checkCache(cache, tokens);
    return hidden(ids, context);
  }
  if (!tokens) return hidden(ids, context);
  const { device } = ids;
  const [batchSize = 0, length = 0] = ids.shape;
  const room = makeRoom({ batchSize, length, documents: geometry.documents }, tokens.count);
  const shape = [batchSize, room.layout.length];
  const others = fromArray(device, room.others, [room.others.length]);
  const virtual = { ...tokens.compute(tape), ids: fromArray(device, room.ids, shape), others };
  const states = hidden(ids, { ...context, geometry: placeTokens(device, room.layout), virtual });
  return ops.gatherRows(tape, states, others).reshape([batchSize, length, states.columns]);
}

/** Lets every row of an empty cache begin with the adapters' virtual tokens; they stay where it is cleared. */
export function primeCache(cache: KvCache, device: Device, hidden: Hidden, adapters: Adaptation): KvCache {
  if (!adapters.virtual) return cache;
  const { count, compute } = adapters.virtual;
  const batchSize = cache.rows.length;
  scoped(device, () => {
    const geometry = cache.place(wholeRows(batchSize, count));
    const numbers = Uint32Array.from({ length: batchSize * count }, (_, i) => i % count);
    const ids = fromArray(device, numbers, [batchSize, count]);
    const virtual = { ...compute(undefined), ids };
    hidden(ids, { training: false, seed: 0, geometry, cache, adapters, virtual });
    cache.extend(geometry);
    return undefined;
  });
  cache.keepAlways(count);
  return cache;
}

function checkCache({ virtual: held }: KvCache, tokens: VirtualTokens | undefined): void {
  const { count = 0 } = tokens ?? {};
  if (held === count) return;
  const got = `the cache begins with ${held} virtual tokens, the adapters of the pass have ${count}`;
  fail("KvCache", got, "make a new cache with these adapters: model.newCache");
}

/**
 * Makes room before every document.
 * @returns the layout with it; which virtual token stands where, `count` for none; and where each token of the layout went,
 * padding included
 */
function makeRoom(
  { batchSize, length, documents }: Layout,
  count: number,
): { layout: Layout; ids: Uint32Array; others: Uint32Array } {
  const rows = Array.from({ length: batchSize }, (_, row) => documents.filter((own) => own.row === row));
  const longer = length + count * largest(rows.map((own) => own.length));
  const ids = new Uint32Array(batchSize * longer).fill(count);
  const others = new Uint32Array(batchSize * length);
  const moved = rows.flatMap((own, row) => {
    for (let i = 0, before = 0; i < length; i++) {
      while ((own[before]?.first ?? Number.POSITIVE_INFINITY) <= i) before++;
      others[row * length + i] = row * longer + i + before * count;
    }
    return own.map((document, before) => {
      const first = document.first + before * count;
      for (let i = 0; i < count; i++) ids[row * longer + first + i] = i;
      return { row, first, length: document.length + count };
    });
  });
  return { layout: { batchSize, length: longer, documents: moved }, ids, others };
}

/** The embeddings of words, to which those of the virtual tokens of the pass are added: `[B, T, d]`. */
export function withVirtualTokens(x: Tensor, { tape, virtual }: Context): Tensor {
  if (!virtual) return x;
  const { embeddings, ids, others } = virtual;
  const own = embeddings && ops.embedding(tape, embeddings, ids);
  if (!others) return own ?? x;
  const spread = ops.scatterRows(tape, x, others, ids.size).reshape([...ids.shape, x.columns]);
  return own ? ops.add(tape, spread, own) : spread;
}

/** Keys and values `[B, T, Hkv, D]` of a layer, those of the virtual tokens in their places. */
export function virtualKeys(
  layer: number,
  keys: Tensor,
  values: Tensor,
  { tape, virtual }: Context,
): [keys: Tensor, values: Tensor] {
  const { keysAndValues, ids, others } = virtual ?? {};
  if (!keysAndValues || !ids) return [keys, values];
  const width = keys.size / ids.size;
  const replaced = (model: Tensor, place: number) => {
    const stored = ops.sliceColumns(tape, keysAndValues, place * width, (place + 1) * width);
    const own = ops.embedding(tape, stored, ids).reshape([ids.size, width]);
    if (!others) return own.reshape(model.shape);
    const kept = ops.gatherRows(tape, model.reshape([ids.size, width]), others);
    return ops.add(tape, ops.scatterRows(tape, kept, others, ids.size), own).reshape(model.shape);
  };
  return [replaced(keys, 2 * layer), replaced(values, 2 * layer + 1)];
}
