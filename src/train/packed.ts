import { rowName } from "../data/check-items.ts";
import { type Packs, packItems } from "../data/pack-items.ts";
import { type PackingReport, type PackingStrategy, splitsItems } from "../data/packing.ts";
import { fail, failAll, Problems } from "../util/fail.ts";
import type { Counted, Objective } from "./objective.ts";

/** How items are packed. */
export interface PackingOptions {
  /** Puts several rows into one sequence, none of which sees another: `true` is `"bfd"`. Not packed unless given. */
  packing?: boolean | PackingStrategy;
  /** Tokens that a packed sequence has at most. */
  maxLength?: number;
  /** Told what packing came to, before the first step. */
  onPacking?: (report: PackingReport) => void;
  /** What messages call an item, by its place from 0; `row 1` and so on unless given. */
  nameRow?: (place: number) => string;
}

/** A run whose items are packs. */
export interface PackedRun<Item, B extends Counted> {
  readonly objective: Objective<readonly Item[], B>;
  readonly packs: readonly (readonly Item[])[];
  /** What messages call a pack. */
  nameRow(pack: number): string;
}

/** What packs the items of a run, some or all at a time. */
export interface Packer<Item, B extends Counted> {
  readonly objective: Objective<readonly Item[], B>;
  readonly maxLength: number;
  /** @param nameOf what messages call an item */
  pack(items: readonly Item[], nameOf: (place: number) => string): Packs<Item>;
}

/**
 * What packs the items of an objective.
 * @throws LoraError for an objective whose items cannot share a row, or cannot be split
 */
export function packer<Item, B extends Counted>(
  objective: Objective<Item, B>,
  { packing = false, maxLength }: Pick<PackingOptions, "packing" | "maxLength">,
): Packer<Item, B> {
  const { device, root, pack, lengthOf, slice } = objective;
  const strategy = typeof packing === "string" ? packing : "bfd";
  if (!pack || !lengthOf) fail("packing", "the items of this objective cannot share a row", "leave it out");
  if (splitsItems(strategy) && !slice) {
    fail("packing", `the items of this objective cannot be split, as ${strategy} does`, "give bfd");
  }
  if (maxLength === undefined) {
    fail("packing", "maxLength is missing: the tokens that a packed sequence has at most", "give it");
  }
  const packable = { lengthOf, ...(slice && { slice }) };
  return {
    objective: { device, root, collate: pack, loss: objective.loss },
    maxLength,
    pack(items, nameOf) {
      const packed = packItems(items, packable, { strategy, maxLength, nameOf });
      const nameOfPart = (pack: number, i: number) => nameOf(packed.places[pack]?.[i] as number);
      if (splitsItems(strategy)) checkParts(objective, packed.packs, nameOfPart);
      return packed;
    },
  };
}

/**
 * Packs the items of a run once, before it begins; what is in a pack stays together in every epoch, as in TRL.
 * @throws LoraError as {@link packer}, and for items that are too long
 */
export function packRun<Item, B extends Counted>(
  given: Objective<Item, B>,
  items: readonly Item[],
  options: PackingOptions,
): PackedRun<Item, B> {
  const { nameRow = rowName, onPacking } = options;
  const { objective, pack } = packer(given, options);
  const { packs, places, report } = pack(items, nameRow);
  if (packs.length === 0) fail("packing", "no part of any row is learnt", "raise maxLength");
  onPacking?.(report);
  return { packs, objective, nameRow: (pack) => describePack((places[pack] ?? []).map(nameRow)) };
}

/** Whole items were checked before; only now it is known how long their parts are. */
function checkParts<Item>(
  { problemOf }: Objective<Item>,
  packs: readonly (readonly Item[])[],
  nameOf: (pack: number, i: number) => string,
): void {
  const problems = new Problems();
  for (const [p, pack] of packs.entries()) {
    for (const [i, item] of pack.entries()) {
      const problem = problemOf?.(item);
      if (problem !== undefined) problems.push(`a part of ${nameOf(p, i)} ${problem}`);
    }
  }
  failAll("packing", problems, "lower maxLength");
}

/** Rows of a pack that a message names; the others are counted. */
const NAMES_SHOWN = 4;

/** What messages call a pack, by the names of its items. */
export function describePack(names: readonly string[]): string {
  const more = names.length - NAMES_SHOWN;
  return names.slice(0, NAMES_SHOWN).join(" + ") + (more > 0 ? ` + ${more} packed with them` : "");
}
