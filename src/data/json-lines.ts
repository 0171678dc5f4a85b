import { duplicateKeys } from "../io/json/duplicate-keys.ts";
import { DEEPEST, nestsTooDeep } from "../io/json/nesting.ts";
import { fail } from "../util/fail.ts";
import { isObject, type JsonObject } from "../util/json.ts";
import type { Row } from "./rows.ts";

/**
 * The rows of JSON Lines, whatever their keys. Blank lines are skipped, a byte-order mark before the first is too.
 * @param lines with or without their ends
 * @param label the file, for messages
 * @throws LoraError where it is JSON, but not one object a line, or no JSON at all
 */
export function* jsonRows(lines: Iterable<string>, label: string): Generator<Row> {
  let number = 0;
  let first: string | undefined;
  let looksLikeJson = false;
  for (const line of lines) {
    number++;
    const whole = number === 1 ? line.replace(/^\uFEFF/, "") : line;
    if (/^[ \t\r\n]*$/.test(whole)) continue; // what JSON has for blanks; trim() takes more
    const text = whole.trim();
    if (first === undefined || first === "{") checkSpread(text, label, first);
    first ??= text;
    looksLikeJson ||= text.startsWith("{");
    yield { line: number, values: parseRow(whole.replace(/[\r\n]+$/, "")) };
  }
  if (first !== undefined && !looksLikeJson) failNoJson(first, label);
}

/** JSON that is one array, or objects over several lines, would otherwise be reported line by line. */
function checkSpread(text: string, label: string, before: string | undefined): void {
  if (before === undefined && /^\[\s*(?:\{|$)/.test(text)) {
    fail(label, "is one JSON array", "write one object a line (JSON Lines): jq -c '.[]' FILE > NEW.jsonl");
  }
  if (before !== undefined && text.startsWith('"')) {
    fail(label, "has objects over several lines", "write one a line (JSON Lines): jq -c . FILE > NEW.jsonl");
  }
}

function failNoJson(first: string, label: string): never {
  const start = JSON.stringify(first.length > 60 ? `${first.slice(0, 60)}…` : first);
  const help =
    "name a table of cells .csv or .tsv; of plain text make rows with jq -R -c '{text: .}' FILE > NEW.jsonl";
  return fail(label, `is not JSON Lines: no line begins with {, the first is ${start}`, help);
}

/** The object of a line, or what is wrong with it. */
function parseRow(text: string): JsonObject | string {
  if (nestsTooDeep(text)) return `is nested deeper than ${DEEPEST} levels`;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  if (!isObject(value)) return `is ${kindOf(value)}, wanted a JSON object`;
  const [twice] = duplicateKeys(text);
  return twice === undefined ? value : `the key ${JSON.stringify(twice.path)} is there twice`;
}

/** What a JSON value is, in words. */
export function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
