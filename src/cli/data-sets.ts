import { basename } from "node:path";
import { drawnRows } from "../data/feed/order.ts";
import type { DataSets } from "../data/files/row-stream.ts";
import { count } from "./format.ts";

/** Files whose items are learnt from, of which there are fewer than rows. @param places the row of each item */
export function setsOfItems(sets: DataSets, places: readonly number[]): DataSets {
  const setOf = setFinder(sets);
  const lengths = sets.lengths.map(() => 0);
  for (const place of places) lengths[setOf(place)]!++;
  return { ...sets, lengths };
}

/** Rows of each file that are looked at for how long its rows are. */
const SAMPLED = 200;

/** Places all over the files. */
export function sampleOf({ lengths }: DataSets): number[] {
  return lengths.flatMap((length, set) => {
    const before = lengths.slice(0, set).reduce((sum, rows) => sum + rows, 0);
    const some = Math.min(length, SAMPLED);
    return Array.from({ length: some }, (_, i) => before + Math.floor((i * length) / some));
  });
}

/**
 * What each file gives: its rows, how many of them are drawn in a pass, and the share of their tokens.
 * @param items some or all of them, with their places
 */
export function describeSets<Item>(
  sets: DataSets,
  items: Iterable<readonly [place: number, item: Item]>,
  { lengthOf = () => 1 }: { lengthOf?(item: Item): number },
): string[] {
  const { lengths, weights, stopping, names } = sets;
  const setOf = setFinder(sets);
  const looked = lengths.map(() => ({ items: 0, tokens: 0 }));
  for (const [place, item] of items) {
    const set = looked[setOf(place)];
    if (!set) continue;
    set.items++;
    set.tokens += lengthOf(item);
  }
  const drawn = weights ? drawnRows(lengths, weights, stopping) : lengths;
  const tokens = looked.map(
    ({ items, tokens }, set) => ((drawn[set] as number) * tokens) / Math.max(1, items),
  );
  const all = tokens.reduce((sum, of) => sum + of, 0);
  return names.map((name, set) => {
    const rows = count(lengths[set] as number);
    const draws = weights ? `, ${count(drawn[set] as number)} drawn in an epoch` : "";
    const share = ((100 * (tokens[set] as number)) / Math.max(1, all)).toFixed(1);
    return `  ${basename(name)}: ${rows} rows${draws}, ${share} % of the tokens`;
  });
}

function setFinder({ lengths }: DataSets): (place: number) => number {
  const starts = lengths.map((_, i) => lengths.slice(0, i).reduce((sum, length) => sum + length, 0));
  return (place) => starts.findLastIndex((start) => start <= place);
}
