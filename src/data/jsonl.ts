import { fail, failAll } from "../util/fail.ts";
import { nearest } from "../util/nearest.ts";

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

/** Bad lines named one by one; a file of the wrong kind would otherwise print a million of them. */
const PROBLEMS_SHOWN = 100;
const WANTED = '"text", or "prompt" and "completion"';

/**
 * Reads training examples from JSON Lines: each row has `text`, or `prompt` and `completion`, as strings; other keys
 * are ignored and the two kinds may be mixed. Blank lines are skipped; a byte-order mark and CRLF are accepted.
 * @param label the file, for messages
 * @throws LoraError that names every bad line as `label:line: reason`, or says that there are no rows.
 */
export function readExamples(text: string, label: string): Example[] {
  const content = text.replace(/^\uFEFF/, "");
  // A pretty-printed array would otherwise be reported line by line.
  if (/^\s*\[\s*(\{|$)/m.test(content.slice(0, 200)) && isJsonArray(content)) {
    fail(label, "is one JSON array", "write one object a line (JSON Lines): jq -c '.[]' FILE");
  }
  const problems: string[] = [];
  const examples: Example[] = [];
  for (const [i, line] of content.split(/\r?\n/).entries()) {
    if (line.trim() === "") continue;
    const example = readLine(line);
    if (typeof example === "string") problems.push(`${label}:${i + 1}: ${example}`);
    else examples.push(example);
  }
  report(label, problems);
  if (examples.length === 0) fail(label, "has no rows", `each row needs ${WANTED}`);
  return examples;
}

function isJsonArray(text: string): boolean {
  try {
    return Array.isArray(JSON.parse(text));
  } catch {
    return false;
  }
}

function report(label: string, problems: readonly string[]): void {
  const shown = problems.slice(0, PROBLEMS_SHOWN);
  if (problems.length > shown.length) shown.push(`and ${problems.length - shown.length} more lines`);
  failAll(label, shown, `each row needs ${WANTED}`);
}

/** The example, or what is wrong with the line. */
function readLine(line: string): Example | string {
  try {
    return readExample(JSON.parse(line));
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function readExample(value: unknown): Example | string {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return `is ${kindOf(value)}, wanted an object with ${WANTED}`;
  }
  const { text, prompt, completion } = value as Record<string, unknown>;
  if (text !== undefined && prompt === undefined && completion === undefined) {
    return typeof text === "string" ? { text } : notString("text", text);
  }
  if (text === undefined && prompt !== undefined && completion !== undefined) {
    if (typeof prompt !== "string") return notString("prompt", prompt);
    if (typeof completion !== "string") return notString("completion", completion);
    return { prompt, completion };
  }
  return wrongKeys(Object.keys(value));
}

function notString(key: string, value: unknown): string {
  return `"${key}" is ${kindOf(value)}, wanted a string`;
}

function wrongKeys(keys: readonly string[]): string {
  const has = keys.length === 0 ? "no keys" : `keys ${keys.map((key) => `"${key}"`).join(", ")}`;
  const known = ["text", "prompt", "completion"];
  const missing = known.filter((key) => !keys.includes(key));
  const hints = keys.flatMap((key) => {
    const meant = known.includes(key) ? undefined : nearest(key, missing);
    return meant === undefined ? [] : [`"${meant}" for "${key}"`];
  });
  const hint = hints.length === 0 ? "" : `; did you mean ${hints.join(", ")}?`;
  const both = keys.includes("text") && keys.length > 1 && missing.length < 2 ? " (one kind, not both)" : "";
  return `has ${has}, wanted ${WANTED}${both}${hint}`;
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
