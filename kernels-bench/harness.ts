// What a benchmark file needs: the shape of a case, and inputs that are quick to make at any size.
import type { Device } from "../src/gpu/device.ts";
import type { Tensor } from "../src/gpu/tensor.ts";
import { decodeBf16, decodeF16, encodeBf16, encodeF16 } from "../src/util/half.ts";
import { randomValues } from "../test/reference/gradient.ts";

/**
 * What an output must be: all of its values, or those at some places. A reference in plain f64 loops takes minutes
 * for outputs of millions of elements, so large sizes are judged by a few hundred elements from end to end.
 */
export type Expected =
  | ArrayLike<number>
  | { readonly at: ArrayLike<number>; readonly values: ArrayLike<number> };

/** What a prepared benchmark case gives the harness. */
export interface Prepared {
  /** Records the work once and returns its output; called many times. */
  run(): Tensor | readonly Tensor[];
  /** The f64 reference of each output (from test/reference) after the first run, compared before anything is timed. */
  reference(): Expected | readonly Expected[];
  /** Largest error accepted, relative to the reference's rms; 1e-4 unless given. */
  tolerance?: number;
  /** Floating-point operations of one run that the formula needs. */
  flops?: number;
  /** Bytes that one run must move at least: every input once, every output once. */
  bytes?: number;
  /** The device's clock unless given: `wall` where the host's work is part of it, `host` where it is all of it. */
  clock?: "wall" | "host";
  /** Layers of a model that the dispatches are counted by. */
  layers?: number;
  /** Frees what outlives the case's scope. */
  release?(): void;
}

/** One kernel at one size. */
export interface BenchCase {
  /** Unique; `op` followed by `size` where these are given. */
  readonly name: string;
  /** What is computed, whatever the size; cases of one op are run from small to large. */
  readonly op?: string;
  /** As `T128 K576 N1536`: words that `--size` selects by. */
  readonly size?: string;
  /** Grows with the cost of a run, within an op: what larger sizes are predicted by. */
  readonly work?: number;
  /** Why this device cannot, or need not, run the case. */
  unfit?(device: Device): string | undefined;
  setup(device: Device): Prepared;
}

/** A case whose name is its op and size. */
export function sized(
  op: string,
  size: string,
  work: number,
  setup: BenchCase["setup"],
  unfit?: BenchCase["unfit"],
): BenchCase {
  return { name: `${op} ${size}`, op, size, work, setup, ...(unfit && { unfit }) };
}

/** Prime, so that rows of any length start at different places of the block: a kernel that mixes rows up is found. */
const BLOCK = 65_521;
const blocks = new Map<string, Float32Array<ArrayBuffer>>();

/** Roughly normal values of one block repeated: making 10⁸ different ones would take longer than the benchmark. */
export function repeatedValues(count: number, seed: number, scale = 1): Float32Array<ArrayBuffer> {
  const key = `${seed}/${scale}`;
  const block = blocks.get(key) ?? Float32Array.from(randomValues(BLOCK, seed, scale));
  blocks.set(key, block);
  return tile(block, new Float32Array(count));
}

/** {@link repeatedValues} rounded to 16 bits, and what they then are: the block is rounded, not each of its copies. */
export function repeatedHalves(count: number, seed: number, dtype: "bf16" | "f16", scale = 1) {
  const block = repeatedValues(Math.min(count, BLOCK), seed, scale);
  const codes = dtype === "bf16" ? encodeBf16(block) : encodeF16(block);
  const rounded = dtype === "bf16" ? decodeBf16(codes) : decodeF16(codes);
  return {
    codes: tile(codes, new Uint16Array(count)),
    values: () => tile(rounded, new Float32Array(count)),
  };
}

/** Fills `out` with copies of `block`. */
export function tile<T extends Float32Array | Uint16Array>(block: T, out: T): T {
  for (let at = 0; at < out.length; at += block.length) {
    out.set(block.subarray(0, Math.min(block.length, out.length - at)), at);
  }
  return out;
}

/** At most `most` of the indices below `count`, the first and the last among them, evenly spread. */
export function spread(count: number, most: number): number[] {
  if (count <= most) return Array.from({ length: count }, (_, i) => i);
  return Array.from({ length: most }, (_, i) => Math.round((i * (count - 1)) / (most - 1)));
}

/** The values at some indices, in f64. */
export function pick(values: ArrayLike<number>, at: readonly number[]): Float64Array {
  return Float64Array.from(at, (i) => values[i] as number);
}

/** Indices of all elements of some rows. */
export function indicesOfRows(rows: readonly number[], columns: number): number[] {
  return rows.flatMap((row) => Array.from({ length: columns }, (_, i) => row * columns + i));
}

/** Elements that a reference computes at most where each costs little. */
export const MOST_ELEMENTS = 4096;

/** For kernels that bind a tensor whole: why this device cannot, or undefined. */
export function unbindable({ limits }: Device, bytes: number): string | undefined {
  const most = limits.maxStorageBufferBindingSize;
  return bytes > most ? `it binds ${bytes} bytes, and this device allows ${most}` : undefined;
}
