import type { Device } from "../src/gpu/device.ts";
import { fromArray } from "../src/gpu/tensor.ts";
import { appendToCache } from "../src/kernels/cache-append.ts";
import { cacheAppendReference } from "../test/reference/cache-append.ts";
import { type BenchCase, repeatedValues, sized } from "./harness.ts";

/** One token of each of so many texts, behind half of what a cache has room for. */
function append(batch: number, capacity: number, heads: number, headDim: number): BenchCase {
  const width = heads * headDim;
  const setup = (device: Device) => {
    const make = (tokens: number, seed: number) => {
      const values = repeatedValues(batch * tokens * width, seed);
      return { values, tensor: fromArray(device, values, [batch, tokens, heads, headDim]) };
    };
    const [k, v, keys, kept] = [make(1, 1), make(1, 2), make(capacity, 3), make(capacity, 4)];
    const end = capacity / 2;
    const spans = Uint32Array.from({ length: 2 * batch }, (_, i) => (i % 2 ? end + 1 : 0));
    const places = { ends: Array.from({ length: batch }, () => end), length: 1, capacity, width };
    const at = fromArray(device, spans, [batch, 1, 2]);
    return {
      run: () => {
        appendToCache({ k: k.tensor, v: v.tensor }, { k: keys.tensor, v: kept.tensor }, at);
        return keys.tensor;
      },
      reference: () => cacheAppendReference(keys.values, k.values, places),
      bytes: 16 * batch * width,
    };
  };
  return sized("cache append", `T${batch} H${heads} D${headDim} S${capacity}`, batch * width, setup);
}

export const cases: BenchCase[] = [append(1, 512, 3, 64), append(8, 512, 3, 64)];
