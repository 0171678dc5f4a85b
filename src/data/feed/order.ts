import { largest, smallest } from "../../util/arrays.ts";
import { fail } from "../../util/fail.ts";
import { createRandom, type Random } from "../../util/random.ts";

/** When a pass over data sets of certain shares ends; names and meaning are those of Hugging Face's `interleave_datasets`. */
export const STOPPING_STRATEGIES = ["first_exhausted", "all_exhausted"] as const;
/** One of {@link STOPPING_STRATEGIES}. */
export type StoppingStrategy = (typeof STOPPING_STRATEGIES)[number];

/** Data sets that are learnt from together, one behind another. */
export interface Mixture {
  /** Rows of each. */
  readonly lengths: readonly number[];
  /** How many rows of each are drawn, in proportion; all rows of all of them unless given. */
  readonly weights?: readonly number[] | undefined;
  /** When a pass ends; `first_exhausted` unless given. */
  readonly stopping?: StoppingStrategy | undefined;
}

/** In which order rows are read; a place counts the rows of all data sets, from 0. */
export interface RowOrder {
  /** Rows of a pass. */
  readonly length: number;
  /** The places of a pass, which counts from 0. */
  places(epoch: number): Uint32Array;
}

/**
 * The order of rows, for a seed another one in each pass; as they stand without a seed. Of data sets with weights a pass draws as many
 * rows of each as its share says, and goes on in the next pass where it stopped, so that all rows of one come equally often.
 * @throws LoraError where there are more rows than an order can have, or a data set with a weight has none
 */
export function rowOrder({ lengths, weights, stopping }: Mixture, seed?: number): RowOrder {
  const rows = lengths.reduce((sum, length) => sum + length, 0);
  if (rows >= MOST_ROWS) fail("data", `there are ${rows} rows`, `give fewer than ${MOST_ROWS}`);
  const random = seed === undefined ? undefined : createRandom(seed);
  if (!weights) {
    return { length: rows, places: (epoch) => shuffled(rows, random?.fork("batches").fork(epoch)) };
  }
  const counts = drawnRows(lengths, weights, stopping);
  return {
    length: counts.reduce((sum, count) => sum + count, 0),
    places: (epoch) => mixed(lengths, counts, epoch, random?.fork("mixture")),
  };
}

const MOST_ROWS = 2 ** 32;

function shuffled(length: number, random: Random | undefined): Uint32Array {
  const places = new Uint32Array(length);
  for (let i = 0; i < length; i++) places[i] = i;
  return random?.shuffle(places) ?? places;
}

/** Rows of each data set in a pass. */
export function drawnRows(
  lengths: readonly number[],
  weights: readonly number[],
  stopping: StoppingStrategy = "first_exhausted",
): number[] {
  const sum = weights.reduce((total, weight) => total + weight, 0);
  const shares = weights.map((weight) => weight / sum);
  const passes = lengths.flatMap((length, i) => (shares[i] === 0 ? [] : [length / (shares[i] as number)]));
  const rows = stopping === "first_exhausted" ? smallest(passes) : largest(passes);
  return shares.map((share) => Math.round(rows * share));
}

/** So many rows of each data set in turn, from where the pass before stopped. */
function mixed(
  lengths: readonly number[],
  counts: readonly number[],
  epoch: number,
  random: Random | undefined,
): Uint32Array {
  const rows = counts.map((count, set) => {
    const length = lengths[set] as number;
    const before = lengths.slice(0, set).reduce((sum, length) => sum + length, 0);
    const drawn = new Uint32Array(count);
    let pass = -1;
    let order = new Uint32Array();
    for (let i = 0; i < count; i++) {
      const draw = epoch * count + i;
      if (Math.floor(draw / length) !== pass) {
        pass = Math.floor(draw / length);
        order = shuffled(length, random?.fork(set).fork(pass)) as Uint32Array<ArrayBuffer>;
      }
      drawn[i] = before + (order[draw % length] as number);
    }
    return drawn;
  });
  const taken = counts.map(() => 0);
  return turns(counts, random?.fork("turns").fork(epoch)).map((set) => {
    const at = taken[set]++ as number;
    return rows[set]?.[at] as number;
  });
}

/** Whose turn it is: by chance, or without it whoever is furthest behind its share. */
function turns(counts: readonly number[], random: Random | undefined): Uint32Array {
  const length = counts.reduce((sum, count) => sum + count, 0);
  const sets = new Uint32Array(length);
  let at = 0;
  if (random) {
    for (const [set, count] of counts.entries()) {
      sets.fill(set, at, at + count);
      at += count;
    }
    return random.shuffle(sets);
  }
  const taken = counts.map(() => 0);
  for (; at < length; at++) {
    const behind = counts.map((count, set) => ((at + 1) * count) / length - (taken[set] as number));
    const set = behind.indexOf(largest(behind));
    taken[set]++;
    sets[at] = set;
  }
  return sets;
}
