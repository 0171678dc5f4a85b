import { fail, failAll, Problems } from "../util/fail.ts";
import { isObject } from "../util/json.ts";
import { describe } from "../util/options.ts";
import { IGNORE_INDEX } from "./sequence.ts";

/** What messages call an item, by its place from 0, where nobody names it otherwise. */
export const rowName = (place: number): string => `row ${place + 1}`;

/** What knows which items can be used. */
export interface ItemJudge<Item> {
  /**
   * What is wrong with an item, to follow its number in a message; undefined where it can be used.
   * @param isSplit it may be of any length, for it is split; only for items of which parts can be used
   */
  problemOf?(item: Item, isSplit?: boolean): string | undefined;
}

/** How items are checked. */
export interface CheckOptions {
  /** They may be of any length, for they are split. */
  readonly isSplit?: boolean;
  /** What messages call an item, by its place from 0. */
  readonly nameOf?: (place: number) => string;
}

/**
 * Checks items before anything is computed from them: a device takes every id and reads zeros, or another row, where
 * there is none.
 * @param where the function, for messages
 * @throws LoraError naming the items that cannot be used, by their numbers from 1 unless they have other names
 */
export function checkItems<Item>(
  where: string,
  items: readonly Item[],
  judge: ItemJudge<Item>,
  { isSplit = false, nameOf = rowName }: CheckOptions = {},
): void {
  if (!Array.isArray(items)) fail(where, `the rows are ${describe(items)}, wanted a list`);
  if (!judge.problemOf) return;
  const problems = new Problems();
  for (const [i, item] of items.entries()) {
    const problem = isObject(item)
      ? judge.problemOf(item as Item, isSplit)
      : `is ${describe(item)}, wanted an object`;
    if (problem !== undefined) problems.push(`${nameOf(i)} ${problem}`);
  }
  failAll(where, problems, "leave these rows out, or mend what makes them");
}

/** The texts that a model takes. */
export interface TextLimits {
  /** Rows of the embedding; ids count from 0. */
  readonly vocabSize: number;
  /** Tokens that a row has at most. */
  readonly maxPositions: number;
  /** Kinds of segments; fewer than two where the model does not tell them apart. */
  readonly tokenTypes?: number;
}

/** What is wrong with the ids of a row. */
export function idsProblem(
  ids: unknown,
  { vocabSize, maxPositions }: TextLimits,
  name = "inputIds",
): string | undefined {
  if (!isList(ids)) return `has ${name} ${describe(ids)}, wanted a list of token ids`;
  if (ids.length === 0) return `has no token in ${name}`;
  if (ids.length > maxPositions) {
    return `has ${ids.length} tokens in ${name}; the model has ${maxPositions} positions`;
  }
  return itemProblem(ids, name, vocabSize, `rows of the model's embedding`);
}

/** What is wrong with labels, one for each of `count` ids, each below `classes` or {@link IGNORE_INDEX}. */
export function labelsProblem(labels: unknown, count: number, classes: number): string | undefined {
  if (!isList(labels)) return `has labels ${describe(labels)}, wanted a list with one for each token`;
  if (labels.length !== count) return `has ${count} tokens and ${labels.length} labels`;
  return itemProblem(labels, "labels", classes, "classes", IGNORE_INDEX);
}

/** The first item of a list that is no whole number below a limit. */
export function itemProblem(
  list: ArrayLike<unknown>,
  name: string,
  limit: number,
  of: string,
  ignored?: number,
): string | undefined {
  for (let i = 0; i < list.length; i++) {
    const value = list[i];
    if (isIndex(value, limit) || (ignored !== undefined && value === ignored)) continue;
    const or = ignored === undefined ? "" : `, or ${ignored}`;
    return `has ${name}[${i}] ${describe(value)}, wanted a whole number from 0 to ${limit - 1}${or}: there are ${limit} ${of}`;
  }
  return undefined;
}

export function isIndex(value: unknown, limit: number): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < limit;
}

/** A plain list or a typed array. */
export function isList(value: unknown): value is ArrayLike<unknown> {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
}
