import type { Truncation } from "./tokenize/truncation.ts";

/**
 * How rows are packed into sequences; names and meaning are TRL's.
 *
 * - `bfd`, best-fit decreasing: whole rows, the longest first, each into the fullest sequence that has room for it
 * - `bfd_split`: the same, with rows that are longer than a sequence split into several
 * - `wrapped`: rows one after another in their order, cut wherever a sequence is full
 */
export const PACKING_STRATEGIES = ["bfd", "bfd_split", "wrapped"] as const;
/** One of {@link PACKING_STRATEGIES}. */
export type PackingStrategy = (typeof PACKING_STRATEGIES)[number];

/** Whether items are split, so that none has to be cut to the length of a row before. */
export function splitsItems(packing: boolean | PackingStrategy): boolean {
  return packing === "bfd_split" || packing === "wrapped";
}

/** More tokens than any row has. */
const ALL = 2 ** 31;

/** Tokens that are kept of a row before it is packed. */
export function lengthToKeep(
  maxLength: number,
  { packing = false, truncation }: { packing?: boolean | PackingStrategy; truncation?: Truncation },
): number {
  return splitsItems(packing) && truncation !== "drop" ? ALL : maxLength;
}

/** What packing came to. */
export interface PackingReport {
  /** Rows that were packed. */
  rows: number;
  /** Packed rows, or sequences, that they became. */
  sequences: number;
  /** Tokens that one of these has at most. */
  maxLength: number;
  /** Tokens in all of them. */
  tokens: number;
  /** Share of the tokens that there is room for, at most 1. */
  fill: number;
}
