import { fail, failAll } from "../util/fail.ts";
import { isObject } from "../util/json.ts";

/** One row of a table and where it stands, for messages. */
export interface Row {
  /** `file:line` */
  readonly where: string;
  readonly values: Readonly<Record<string, unknown>>;
}

/** Bad rows named one by one; a file of the wrong kind would otherwise print a million of them. */
const PROBLEMS_SHOWN = 100;

/**
 * Reads rows from JSON Lines, whatever their keys. Blank lines are skipped; a byte-order mark and CRLF are accepted.
 * @param label the file, for messages
 * @throws LoraError naming every line that is no JSON object
 */
export function readJsonRows(text: string, label: string): Row[] {
  const rows: Row[] = [];
  const problems: string[] = [];
  for (const [i, line] of text
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .entries()) {
    if (line.trim() === "") continue;
    const where = `${label}:${i + 1}`;
    const values = parseObject(line);
    if (typeof values === "string") problems.push(`${where}: ${values}`);
    else rows.push({ where, values });
  }
  reportRows(label, problems, "write one JSON object a line");
  if (rows.length === 0) fail(label, "has no rows");
  return rows;
}

function parseObject(line: string): Record<string, unknown> | string {
  try {
    const value: unknown = JSON.parse(line);
    return isObject(value) ? value : "is no JSON object";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Throws one error for all bad rows, if there are any. */
export function reportRows(label: string, problems: readonly string[], help?: string): void {
  const shown = problems.slice(0, PROBLEMS_SHOWN);
  if (problems.length > shown.length) shown.push(`and ${problems.length - shown.length} more rows`);
  failAll(label, shown, help);
}

/** Turns rows into what a task needs; `read` returns the item, or what is wrong with the row. */
export function mapRows<T extends object>(
  rows: readonly Row[],
  label: string,
  read: (row: Row) => T | string,
  wanted: string,
): T[] {
  const results = rows.map((row) => ({ row, result: read(row) }));
  const problems = results.flatMap(({ row, result }) =>
    typeof result === "string" ? [`${row.where}: ${result}`] : [],
  );
  reportRows(label, problems, `each row needs ${wanted}`);
  return results.map(({ result }) => result as T);
}
