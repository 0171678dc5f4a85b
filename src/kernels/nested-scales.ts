// Double quantisation as bitsandbytes does it: scales become codes of eight bits, with a second scale for each 256 of them.

/** Scales that share a second one. */
const BLOCK = 256;

/**
 * Values of the 256 codes: the signed dynamic data type of Dettmers 2015, arXiv 1511.04561 (`create_dynamic_map` in
 * functional.py of bitsandbytes). Seven powers of ten, each divided linearly, the more the larger.
 */
export function dynamicMap(): Float32Array {
  const values = [0, 1];
  for (let i = 0; i < 7; i++) {
    const factor = Math.fround(10 ** (i - 6));
    for (const mean of meansBetween(2 ** i)) {
      const value = Math.fround(factor * mean);
      values.push(value, -value);
    }
  }
  return Float32Array.from(values).sort();
}

/** Middles of `count` equal parts of 0.1 … 1, in f32 as `torch.linspace` gives their ends. */
function meansBetween(count: number): number[] {
  const step = Math.fround(Math.fround(1 - Math.fround(0.1)) / count);
  const end = (i: number) =>
    Math.fround(i < Math.floor((count + 1) / 2) ? Math.fround(0.1) + step * i : 1 - step * (count - i)); // one rounding
  return Array.from({ length: count }, (_, i) => Math.fround(Math.fround(end(i) + end(i + 1)) / 2));
}

/** Scales as codes, and what they are read with. */
export interface NestedScales {
  /** A code in eight bits for each scale, in words. */
  readonly codes: Uint32Array;
  /** The offset of all scales, the values of the codes, the second scales; f32. */
  readonly head: Float32Array;
}

/** Quantises what is left of scales without their mean. */
export function nestScales(scales: Float32Array): NestedScales {
  const map = dynamicMap();
  const offset = Math.fround(scales.reduce((sum, scale) => sum + scale, 0) / scales.length);
  const codes = new Uint8Array(4 * Math.ceil(scales.length / 4));
  const seconds = new Float32Array(Math.ceil(scales.length / BLOCK));
  for (const i of seconds.keys()) {
    const rest = scales.subarray(i * BLOCK, (i + 1) * BLOCK).map((scale) => scale - offset);
    const largest = rest.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const inverse = largest > 0 ? Math.fround(1 / largest) : 0;
    seconds[i] = largest;
    for (const [j, value] of rest.entries())
      codes[i * BLOCK + j] = nearest(map, Math.fround(value * inverse));
  }
  return { codes: new Uint32Array(codes.buffer), head: concatenate(Float32Array.of(offset), map, seconds) };
}

/** Code of the nearest value of an ascending map of 256: bisection, then a look at the neighbour (`dQuantize`). */
function nearest(map: Float32Array, x: number): number {
  let [low, high, pivot] = [0, 255, 127];
  for (let i = 64; i > 0; i >>= 1) {
    if (x > (map[pivot] as number)) {
      low = pivot;
      pivot += i;
    } else {
      high = pivot;
      pivot -= i;
    }
  }
  const value = map[pivot] as number;
  const middle = (other: number) => Math.fround(Math.fround((map[other] as number) + value) * 0.5);
  if (x > value) return x > middle(high) ? high : pivot;
  return x < middle(low) ? low : pivot;
}

function concatenate(...parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
