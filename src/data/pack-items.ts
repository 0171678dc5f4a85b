import { failAll, Problems } from "../util/fail.ts";
import { rowName } from "./check-items.ts";
import type { PackingReport, PackingStrategy } from "./packing.ts";

/** How long an item is, and how it is split. */
export interface Packable<Item> {
  lengthOf(item: Item): number;
  /** Its tokens from `from` until before `to`; undefined where nothing is learnt of them. Absent where items are never split. */
  slice?(item: Item, from: number, to: number): Item | undefined;
}

/** An item, or a part of one. */
interface Piece<Item> {
  readonly item: Item;
  /** Of the whole item in the list, from 0. */
  readonly place: number;
}

/** Items in packs, and the places that they had. */
export interface Packs<Item> {
  readonly packs: readonly (readonly Item[])[];
  readonly places: readonly (readonly number[])[];
  readonly report: PackingReport;
}

/** How items are packed. */
export interface PackItemsOptions {
  readonly strategy: PackingStrategy;
  /** Tokens of a pack at most. */
  readonly maxLength: number;
  /** What messages call an item, by its place from 0. */
  readonly nameOf?: (place: number) => string;
}

type Bounds = Required<Pick<PackItemsOptions, "maxLength" | "nameOf">>;

/**
 * Puts items into packs of at most `maxLength` tokens. What is in a pack depends on the lengths and the order of the items only.
 * @throws LoraError naming the items that are longer than a pack, where the strategy splits none
 */
export function packItems<Item>(
  items: readonly Item[],
  packable: Packable<Item>,
  { strategy, maxLength, nameOf = rowName }: PackItemsOptions,
): Packs<Item> {
  const { lengthOf } = packable;
  const filled = FILL[strategy](items, packable, { maxLength, nameOf });
  const packs = filled.map((pack) => pack.map(({ item }) => item));
  const tokens = packs.flat().reduce((sum, item) => sum + lengthOf(item), 0);
  const fill = tokens / (maxLength * packs.length);
  const report = { rows: items.length, sequences: packs.length, maxLength, tokens, fill };
  return { packs, places: filled.map((pack) => pack.map(({ place }) => place)), report };
}

type Fill = <Item>(
  items: readonly Item[],
  packable: Packable<Item>,
  bounds: Bounds,
) => readonly (readonly Piece<Item>[])[];

const FILL: Readonly<Record<PackingStrategy, Fill>> = {
  bfd: (items, packable, bounds) => together(whole(items, packable, bounds), packable, bounds),
  bfd_split: (items, packable, bounds) => together(split(items, packable, bounds), packable, bounds),
  wrapped: wrap,
};

function together<Item>(
  pieces: readonly Piece<Item>[],
  { lengthOf }: Packable<Item>,
  { maxLength }: Bounds,
): Piece<Item>[][] {
  const lengths = pieces.map(({ item }) => lengthOf(item));
  return bestFit(lengths, maxLength).map((pack) => pack.map((i) => pieces[i] as Piece<Item>));
}

function whole<Item>(
  items: readonly Item[],
  { lengthOf }: Packable<Item>,
  { maxLength, nameOf }: Bounds,
): Piece<Item>[] {
  const problems = new Problems();
  for (const [place, item] of items.entries()) {
    const length = lengthOf(item);
    if (length > maxLength)
      problems.push(`${nameOf(place)} has ${length} tokens, and maxLength is ${maxLength}`);
  }
  failAll("packing", problems, 'cut these rows, raise maxLength, or split them: packing "bfd_split"');
  return items.map((item, place) => ({ item, place }));
}

function split<Item>(items: readonly Item[], packable: Packable<Item>, { maxLength }: Bounds): Piece<Item>[] {
  return items.flatMap((item, place) => {
    const parts: Piece<Item>[] = [];
    const length = packable.lengthOf(item);
    for (let from = 0; from < length; from += maxLength) {
      const part = partOf(item, packable, from, Math.min(from + maxLength, length));
      if (part !== undefined) parts.push({ item: part, place });
    }
    return parts;
  });
}

/** The items as one text, cut every `maxLength` tokens; parts of which nothing is learnt leave their room empty. */
function wrap<Item>(
  items: readonly Item[],
  packable: Packable<Item>,
  { maxLength }: Bounds,
): Piece<Item>[][] {
  const packs: Piece<Item>[][] = [];
  let pack: Piece<Item>[] = [];
  let used = 0;
  const close = () => {
    if (pack.length > 0) packs.push(pack);
    pack = [];
    used = 0;
  };
  for (const [place, item] of items.entries()) {
    const length = packable.lengthOf(item);
    for (let from = 0; from < length; ) {
      const to = Math.min(length, from + maxLength - used);
      const part = partOf(item, packable, from, to);
      if (part !== undefined) pack.push({ item: part, place });
      used += to - from;
      from = to;
      if (used === maxLength) close();
    }
  }
  close();
  return packs;
}

function partOf<Item>(
  item: Item,
  { lengthOf, slice }: Packable<Item>,
  from: number,
  to: number,
): Item | undefined {
  return to - from === lengthOf(item) ? item : slice?.(item, from, to);
}

/**
 * Best-fit decreasing bin packing (Johnson 1973): the places of the lengths in each bin, in O(n log capacity).
 * Of lengths that are equal the first comes first, and of bins with equal room the one that has had it longest: the same as TRL.
 * @param lengths each from 1 to `capacity`
 */
export function bestFit(lengths: readonly number[], capacity: number): number[][] {
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const bins: number[][] = [];
  // More room than there are tokens is never filled, and would need a long table.
  const room = new Room(Math.min(capacity, total));
  for (const place of longestFirst(lengths)) {
    const length = lengths[place] as number;
    const space = room.atLeast(length);
    const bin = space === undefined ? bins.push([]) - 1 : room.take(space);
    bins[bin]?.push(place);
    const left = (space ?? room.most) - length;
    if (left > 0) room.put(bin, left);
  }
  return bins;
}

/** Places of the lengths, by falling length (counting sort). */
function longestFirst(lengths: readonly number[]): Int32Array {
  const longest = lengths.reduce((most, length) => Math.max(most, length), 0);
  const starts = new Int32Array(longest + 2);
  for (const length of lengths) starts[longest - length + 1]!++;
  for (let i = 1; i < starts.length; i++) starts[i]! += starts[i - 1]!;
  const sorted = new Int32Array(lengths.length);
  for (const [place, length] of lengths.entries()) sorted[starts[longest - length]!++] = place;
  return sorted;
}

/** The bins by the room that is left in them, each queue first in, first out; a tree over the rooms tells which have any. */
class Room {
  readonly most: number;
  /** The first leaf; node i has the children 2i and 2i + 1. */
  readonly #leaves: number;
  readonly #hasAny: Uint8Array;
  readonly #first: Int32Array;
  readonly #last: Int32Array;
  /** The bin that waits behind each bin. */
  readonly #next: number[] = [];

  constructor(most: number) {
    this.most = most;
    this.#leaves = 2 ** Math.ceil(Math.log2(most + 1));
    this.#hasAny = new Uint8Array(2 * this.#leaves);
    this.#first = new Int32Array(most + 1).fill(-1);
    this.#last = new Int32Array(most + 1);
  }

  /** The smallest room of a bin that is at least `length`. */
  atLeast(length: number): number | undefined {
    const has = this.#hasAny;
    let node = this.#leaves + length;
    if (has[node]) return length;
    while (node > 1 && (node % 2 === 1 || !has[node + 1])) node >>= 1;
    if (node <= 1) return undefined;
    for (node++; node < this.#leaves; ) node = has[2 * node] ? 2 * node : 2 * node + 1;
    return node - this.#leaves;
  }

  /** Takes the bin that has had this room longest. */
  take(space: number): number {
    const bin = this.#first[space] as number;
    this.#first[space] = this.#next[bin] as number;
    if (this.#first[space] === -1) this.#mark(space, 0);
    return bin;
  }

  put(bin: number, space: number): void {
    this.#next[bin] = -1;
    if (this.#first[space] === -1) {
      this.#first[space] = bin;
      this.#mark(space, 1);
    } else this.#next[this.#last[space] as number] = bin;
    this.#last[space] = bin;
  }

  #mark(space: number, filled: 0 | 1): void {
    const has = this.#hasAny;
    let node = this.#leaves + space;
    has[node] = filled;
    for (node >>= 1; node >= 1; node >>= 1) has[node] = has[2 * node]! | has[2 * node + 1]!;
  }
}
