import { fail, failAll, Problems } from "../util/fail.ts";
import type { JsonObject } from "../util/json.ts";

/** One row of a file and where it begins, for messages. */
export interface Row {
  /** The line, from 1. */
  readonly line: number;
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

/** What a task takes from the rows of a file. */
export interface PlacedRows<T> {
  readonly items: T[];
  /** The line of each, from 1. */
  readonly lines: readonly number[];
}

/**
 * What a task takes from the rows of a file, one after the other: of a file that is read piece by piece no more is in
 * memory than that.
 * @param label the file, for messages
 * @throws LoraError naming the rows that cannot be used, or saying that there are no rows
 */
export function collectRows<T extends object>(rows: Iterable<Row>, label: string, reader: RowReader<T>): T[] {
  return collectPlacedRows(rows, label, reader).items;
}

/** After so many bad rows it is certain that the file is of another kind. */
const MOST_PROBLEMS = 100_000;

/** The same, with the lines. */
export function collectPlacedRows<T extends object>(
  rows: Iterable<Row>,
  label: string,
  { read, wanted }: RowReader<T>,
): PlacedRows<T> {
  const items: T[] = [];
  const lines: number[] = [];
  const problems = new Problems();
  for (const { line, values } of rows) {
    const item = typeof values === "string" ? values : read(values);
    if (typeof item !== "string") {
      items.push(item);
      lines.push(line);
      continue;
    }
    problems.push(`${label}:${line}: ${item}`);
    if (problems.length < MOST_PROBLEMS) continue;
    failAll(label, problems, `each row needs ${wanted}; reading stopped at line ${line}`);
  }
  failAll(label, problems, `each row needs ${wanted}`);
  if (items.length === 0) fail(label, "has no rows", `each row needs ${wanted}`);
  return { items, lines };
}
