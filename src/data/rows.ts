import { fail, failAll } from "../util/fail.ts";
import type { JsonObject } from "../util/json.ts";

/** One row of a file and where it begins, for messages. */
export interface Row {
  /** `file:line` */
  readonly where: string;
  /** What the row holds, or a sentence on what is wrong with it. */
  readonly values: JsonObject | string;
}

/** What a task takes from a row. */
export interface RowReader<T extends object> {
  /** What each row needs, for messages. */
  readonly wanted: string;
  /** The item, or what is wrong with the row. */
  read(values: JsonObject): T | string;
}

/** Bad rows named one by one; a file of the wrong kind would otherwise print a million of them. */
const PROBLEMS_SHOWN = 100;

/** The problems of a file's rows, of which the first ones are kept and the others counted. */
export class RowProblems {
  readonly #shown: string[] = [];
  #count = 0;

  add(problem: string): void {
    if (++this.#count <= PROBLEMS_SHOWN) this.#shown.push(problem);
  }

  /** @throws LoraError that lists them, if there are any. */
  report(label: string, help?: string): void {
    const more = this.#count - this.#shown.length;
    failAll(label, more > 0 ? [...this.#shown, `and ${more} more rows`] : this.#shown, help);
  }
}

/**
 * What a task takes from the rows of a file, one after the other: of a file that is read piece by piece no more is in
 * memory than that.
 * @param label the file, for messages
 * @throws LoraError naming every row that cannot be used, or saying that there are no rows
 */
export function collectRows<T extends object>(
  rows: Iterable<Row>,
  label: string,
  { read, wanted }: RowReader<T>,
): T[] {
  const items: T[] = [];
  const problems = new RowProblems();
  for (const { where, values } of rows) {
    const item = typeof values === "string" ? values : read(values);
    if (typeof item === "string") problems.add(`${where}: ${item}`);
    else items.push(item);
  }
  problems.report(label, `each row needs ${wanted}`);
  if (items.length === 0) fail(label, "has no rows", `each row needs ${wanted}`);
  return items;
}
