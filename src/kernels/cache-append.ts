import shader from "../../shaders/cache-append.wgsl";
import type { Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { perElement } from "./launch.ts";

/** Keys and values, `[B, T, Hkv, D]` f32 each. */
export interface KeysAndValues {
  readonly k: Tensor;
  readonly v: Tensor;
}

/**
 * Writes new tokens' keys and values behind those that a cache holds of their rows; what exceeds it is padding, and left out.
 * @param cache both `[B, capacity, Hkv, D]`
 * @param spans of the new tokens, u32 `[B, T, 2]`, which say how many keys each row had; see `AttentionOptions`
 */
export function appendToCache({ k, v }: KeysAndValues, cache: KeysAndValues, spans: Tensor): void {
  const [batch = 0, tokens = 0, heads = 0, headDim = 0] = k.shape;
  const [cached, capacity = 0, cachedHeads, cachedDim] = cache.k.shape;
  const fits = batch === cached && heads === cachedHeads && headDim === cachedDim && k.size === v.size;
  if (!fits || cache.k.size !== cache.v.size || spans.size !== 2 * batch * tokens)
    fail("appendToCache", `k [${k.shape}], v [${v.shape}] and spans [${spans.shape}] for [${cache.k.shape}]`);
  const row = heads * headDim;
  const { width, count, elem, WG, grid } = perElement(k.device, k.size, row);
  k.device.run(shader, "forward", {
    bind: { k, v, spans, keys: cache.k, values: cache.v },
    params: { count, row: row / width, tokens, capacity },
    constants: { elem, WG },
    grid,
  });
}
