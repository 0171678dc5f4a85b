import { fail, failAll } from "../util/fail.ts";
import { shortList } from "../util/group-lines.ts";
import { isObject, type JsonObject } from "../util/json.ts";
import { splitLines } from "../util/lines.ts";
import { nearest } from "../util/nearest.ts";
import { textProblem } from "./fields.ts";
import { jsonRows } from "./json-lines.ts";
import { collectRows, type RowReader } from "./rows.ts";

/** A whole text to learn. */
export interface TextExample {
  readonly text: string;
}

/** A completion to learn, given its prompt. They are joined as they are: no space, no template in between. */
export interface CompletionExample {
  readonly prompt: string;
  readonly completion: string;
}

/** One training example, in the row formats of TRL and mlx-lm. */
export type Example = TextExample | CompletionExample;

const WANTED = '"text", or "prompt" and "completion"';

/** What language modelling takes from a row. */
export const EXAMPLE_READER: RowReader<Example> = { wanted: WANTED, read: readExample };

/**
 * Reads training examples from JSON Lines: each row has `text`, or `prompt` and `completion`, as strings; other keys
 * are ignored and the two kinds may be mixed. Blank lines are skipped; a byte-order mark and CRLF are accepted.
 * @param source the file's text, or its lines one by one, of which no more than the examples stays in memory
 * @param label the file, for messages
 * @throws LoraError that names every bad line as `label:line: reason`, or says that there are no rows.
 */
export function readExamples(source: string | Iterable<string>, label: string): Example[] {
  const lines = typeof source === "string" ? splitLines(source) : source;
  return collectRows(jsonRows(lines, label), label, EXAMPLE_READER);
}

/**
 * Checks rows as a caller gave them, by the rules for rows of a file.
 * @throws LoraError that names every bad row by its number, from 1
 */
export function checkExamples(where: string, examples: readonly Example[]): void {
  if (!Array.isArray(examples)) fail(where, `the rows are no list, wanted rows with ${WANTED}`);
  const problems = examples.flatMap((row: unknown, i) => {
    const read = isObject(row) ? readExample(row) : `is no object, wanted ${WANTED}`;
    return typeof read === "string" ? [`row ${i + 1} ${read}`] : [];
  });
  failAll(where, problems, `each row needs ${WANTED}`);
}

function readExample(values: JsonObject): Example | string {
  const { text, prompt, completion } = values;
  if (text !== undefined && prompt === undefined && completion === undefined) {
    return textProblem(values, "text") ?? { text: text as string };
  }
  if (text === undefined && prompt !== undefined && completion !== undefined) {
    const problem = textProblem(values, "prompt") ?? textProblem(values, "completion");
    return problem ?? { prompt: prompt as string, completion: completion as string };
  }
  return wrongKeys(Object.keys(values));
}

/** Keys of a row that a message names. */
const KEYS_SHOWN = 20;

function wrongKeys(keys: readonly string[]): string {
  const quoted = keys.map((key) => `"${key}"`);
  const has = keys.length === 0 ? "no keys" : `keys ${shortList(quoted, KEYS_SHOWN)}`;
  const known = ["text", "prompt", "completion"];
  const missing = known.filter((key) => !keys.includes(key));
  const hints = keys.slice(0, KEYS_SHOWN).flatMap((key) => {
    const meant = known.includes(key) ? undefined : nearest(key, missing);
    return meant === undefined ? [] : [`"${meant}" for "${key}"`];
  });
  const hint = hints.length === 0 ? "" : `; did you mean ${hints.join(", ")}?`;
  const both = keys.includes("text") && keys.length > 1 && missing.length < 2 ? " (one kind, not both)" : "";
  return `has ${has}, wanted ${WANTED}${both}${hint}`;
}
