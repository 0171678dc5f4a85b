import { fail, failAll, Problems } from "../../util/fail.ts";
import { isObject } from "../../util/json.ts";
import { duplicateKeys } from "./duplicate-keys.ts";
import { jsonErrorOffset } from "./json-error.ts";
import { shapeProblem } from "./nesting.ts";
import { endOfString } from "./scan.ts";

/**
 * JSON.parse that takes no object with a key twice.
 * @throws LoraError naming the source (`where`), and the line and column of the mistake
 */
export function parseJson(text: string, where: string): unknown {
  const shape = shapeProblem(text);
  if (shape !== undefined) fail(where, shape, "that is no file of a model: download it again");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return failInvalid(text, where, error);
  }
  const problems = new Problems();
  for (const { path, offset } of duplicateKeys(text)) {
    problems.push(() => `key ${JSON.stringify(path)} occurs twice, again at ${lineAndColumn(text, offset)}`);
  }
  failAll(where, problems, "keep the one that is meant");
  return value;
}

/** As {@link parseJson}, but NaN and the infinities are numbers: Python's json module writes and reads them. */
export function parsePythonJson(text: string, where: string): unknown {
  const plain = /NaN|Infinity/.test(text) ? withoutConstants(text) : text;
  return plain === text ? parseJson(text, where) : withNaN(parseJson(plain, where));
}

/** What Python writes for numbers that JSON has not, and what JSON.parse reads, which is as long: offsets stay. */
const CONSTANTS = [
  ["-Infinity", "-1e999999"],
  ["Infinity", "1e999999"],
  ["NaN", '"\udfff"'],
] as const;

/** Stands for NaN: half of a surrogate pair cannot be in a file. */
const NAN = "\udfff";

function withoutConstants(text: string): string {
  const pieces: string[] = [];
  let kept = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '"') at = endOfString(text, at) - 1;
    const found = CONSTANTS.find(([constant]) => text.startsWith(constant, at));
    if (found === undefined) continue;
    pieces.push(text.slice(kept, at), found[1]);
    kept = at + found[0].length;
    at = kept - 1;
  }
  return [...pieces, text.slice(kept)].join("");
}

function withNaN(value: unknown): unknown {
  if (value === NAN) return Number.NaN;
  if (Array.isArray(value)) return value.map(withNaN);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withNaN(item)]));
}

function failInvalid(text: string, where: string, error: unknown): never {
  const reason = error instanceof Error ? error.message : String(error);
  return fail(
    where,
    `invalid JSON at ${lineAndColumn(text, jsonErrorOffset(text))}: ${reason}`,
    "JSON knows no comments and no trailing commas",
  );
}

function lineAndColumn(text: string, offset: number): string {
  let [line, start] = [1, 0];
  for (let end = text.indexOf("\n"); end >= 0 && end < offset; end = text.indexOf("\n", start)) {
    line++;
    start = end + 1;
  }
  return `line ${line} column ${offset - start + 1}`;
}
