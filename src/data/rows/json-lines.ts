import { duplicateKeys } from "../../io/json/duplicate-keys.ts";
import { shapeProblem } from "../../io/json/nesting.ts";
import { fail } from "../../util/fail.ts";
import { isObject, type JsonObject } from "../../util/json.ts";
import { startOf } from "../../util/shown.ts";
import { JsonSplitter } from "../files/json-values.ts";
import { LineJoiner } from "../files/text-pieces.ts";
import type { Row, RowParser } from "./rows.ts";

/**
 * The rows of JSON, whatever their keys: one object a line (JSON Lines), one list of objects, or objects one after
 * another over any number of lines. Blank lines are skipped, a byte-order mark before the first is too.
 * @param lines with or without their ends
 * @param label the file, for messages
 * @throws LoraError where it is no JSON at all, or ends in the middle of a list or of an object
 */
export function* jsonRows(lines: Iterable<string>, label: string): Generator<Row> {
  const parser = new JsonRows(label);
  for (const line of lines) yield* parser.push(/[\r\n]$/.test(line) ? line : `${line}\n`);
  yield* parser.end();
}

/** The line on which an object over several lines begins has fewer characters, and so have the blanks before a list. */
const HEAD_CHARACTERS = 2 ** 16;

/** The rows of JSON that comes in pieces. */
export class JsonRows implements RowParser {
  readonly #label: string;
  #head = "";
  #parser: RowParser | undefined;

  constructor(label: string) {
    this.#label = label;
  }

  *push(piece: string): Generator<Row> {
    if (this.#parser) return yield* this.#parser.push(piece);
    this.#head += piece;
    const text = this.#head.replace(/^\uFEFF/, "");
    const shape = jsonShape(text);
    if (shape) yield* this.#begin(text, shape);
  }

  *end(): Generator<Row> {
    const text = this.#head.replace(/^\uFEFF/, "");
    if (!this.#parser) yield* this.#begin(text, jsonShape(text, true) ?? "lines");
    yield* this.#parser?.end() ?? [];
  }

  *#begin(text: string, shape: JsonShape): Generator<Row> {
    this.#head = "";
    this.#parser =
      shape === "lines" ? new JsonLines(this.#label) : new SpreadJson(this.#label, shape === "list");
    yield* this.#parser.push(text);
  }
}

/** How the objects of a file are written: one a line, in one list, or one after another over any number of lines. */
export type JsonShape = "lines" | "list" | "objects";

/**
 * What the beginning of a file shows of it; undefined where more is needed.
 * @param isAll whether it is the whole file
 */
export function jsonShape(text: string, isAll = false): JsonShape | undefined {
  const first = /[^ \t\r\n]/.exec(text)?.index; // what JSON has for blanks
  if (first !== undefined && text[first] === "[") return "list";
  const isClear =
    isAll || text.length >= HEAD_CHARACTERS || (first !== undefined && /[\r\n]/.test(text.slice(first)));
  if (!isClear) return undefined;
  return opensOnly(/^[ \t\r\n]*([^\r\n]*)/.exec(text)?.[1] ?? "") ? "objects" : "lines";
}

/** Whether a line is the beginning of an object that goes on: `{`, `{"a": 1,` or `{"a": [`. */
function opensOnly(line: string): boolean {
  if (!/^\{(?:.*[{[,:])?[ \t]*$/.test(line)) return false;
  const withoutStrings = line.replace(/"(?:[^"\\]|\\.)*"/g, "");
  const count = (pattern: RegExp) => withoutStrings.match(pattern)?.length ?? 0;
  return !withoutStrings.includes('"') && count(/[{[]/g) > count(/[}\]]/g);
}

class SpreadJson implements RowParser {
  readonly #splitter: JsonSplitter;

  constructor(label: string, isList: boolean) {
    this.#splitter = new JsonSplitter(label, isList);
  }

  *push(piece: string): Generator<Row> {
    for (const { text, line } of this.#splitter.push(piece)) yield { line, values: parseRow(text) };
  }

  end(): Row[] {
    this.#splitter.end();
    return [];
  }
}

class JsonLines implements RowParser {
  readonly #label: string;
  readonly #lines: LineJoiner;
  #number = 0;
  #first: string | undefined;
  #looksLikeJson = false;

  constructor(label: string) {
    this.#label = label;
    this.#lines = new LineJoiner(label);
  }

  *push(piece: string): Generator<Row> {
    for (const line of this.#lines.push(piece)) yield* this.#row(line);
  }

  *end(): Generator<Row> {
    for (const line of this.#lines.end()) yield* this.#row(line);
    if (this.#first !== undefined && !this.#looksLikeJson) failNoJson(this.#first, this.#label);
  }

  *#row(line: string): Generator<Row> {
    this.#number++;
    if (/^[ \t\r\n]*$/.test(line)) return; // trim() takes more
    const text = line.trim();
    this.#first ??= text;
    this.#looksLikeJson ||= text.startsWith("{");
    yield { line: this.#number, values: parseRow(line) };
  }
}

/** @throws LoraError in any case: the first line is shown */
export function failNoJson(first: string, label: string): never {
  const start = JSON.stringify(startOf(first));
  const help = "name a table of cells .csv or .tsv, and plain text .txt";
  return fail(label, `is no JSON: no line begins with {, the first is ${start}`, help);
}

/** The object of a text, or what is wrong with it. */
export function parseRow(given: string): JsonObject | string {
  const text = given.replace(/[\r\n]+$/, "");
  if (/^[ \t\r\n]*$/.test(text)) return "is empty: there is a comma too many";
  const shape = shapeProblem(text);
  if (shape !== undefined) return shape;
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
