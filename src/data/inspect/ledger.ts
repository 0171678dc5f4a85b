import { type Lengths, summariseLengths } from "./lengths.ts";
import type { FindingKind } from "./report.ts";

/** Rows of one kind: how many, and where the first of them are. */
export interface RowTally {
  rows: number;
  readonly places: number[];
}

/** Rows of a kind that are named. */
const NAMED = 5;

/** Counts a row, and notes where it is. */
export function note(tally: RowTally, place: number): void {
  if (tally.places.length < NAMED && tally.places.at(-1) !== place) tally.places.push(place);
  tally.rows++;
}

/** A tally of no rows yet. */
export const emptyTally = (): RowTally => ({ rows: 0, places: [] });

/** What inspectors keep of the rows that they see: numbers only, so that any number of rows can pass. */
export class RowLedger {
  readonly kinds = new Map<FindingKind, RowTally>();
  readonly #lengths: number[] = [];
  #longest = 0;
  #longestPlace: number | undefined;

  /** Notes what a row is noted for. */
  note(kinds: Iterable<FindingKind>, place: number): void {
    for (const kind of kinds) {
      const tally = this.kinds.get(kind) ?? emptyTally();
      this.kinds.set(kind, tally);
      note(tally, place);
    }
  }

  /** @param length in tokens, before any cut */
  addLength(length: number, place: number): void {
    this.#lengths.push(length);
    if (length <= this.#longest) return;
    this.#longest = length;
    this.#longestPlace = place;
  }

  /** The lengths, and the longest row as messages call it. */
  lengths(nameOf: (place: number) => string): { readonly lengths: Lengths; readonly longestRow?: string } {
    const lengths = summariseLengths(this.#lengths);
    return this.#longestPlace === undefined
      ? { lengths }
      : { lengths, longestRow: nameOf(this.#longestPlace) };
  }
}
