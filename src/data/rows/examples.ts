import { fail, failAll, Problems } from "../../util/fail.ts";
import { isObject, type JsonObject } from "../../util/json.ts";
import { splitLines } from "../../util/lines.ts";
import { nearest } from "../../util/nearest.ts";
import {
  type ChatCompletionExample,
  type ChatContext,
  type ChatExample,
  readChat,
  readChatCompletion,
} from "../chat/chat-rows.ts";
import { keysOf, textProblem } from "./fields.ts";
import { jsonRows } from "./json-lines.ts";
import { inTrlKeys, rowKind } from "./row-kinds.ts";
import { collectRows, type RowReader } from "./rows.ts";
import { readTokens, type TokensExample } from "./token-rows.ts";

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
export type Example = TextExample | CompletionExample | ChatExample | ChatCompletionExample | TokensExample;

/** Whether a row is a chat, or the end of one. */
export function isChat(example: Example): example is ChatExample | ChatCompletionExample {
  return "messages" in example || ("prompt" in example && typeof example.prompt !== "string");
}

/** Whether there is something that the assistant of a chat may call. */
export function usesTools({ tools }: ChatContext): boolean {
  return (tools ?? []).length > 0;
}

const WANTED =
  '"text", "prompt" and "completion", or "messages" (or ShareGPT\'s "conversations", Alpaca\'s "instruction" and "output", or tokens as "input_ids")';

/** What language modelling takes from a row. */
export const EXAMPLE_READER: RowReader<Example> = { wanted: WANTED, read: readExample };

/**
 * Reads training examples from JSON Lines: each row has `text`, `prompt` and `completion` (two texts, or two lists of
 * messages), `messages`, `input_ids`, or ShareGPT's or Alpaca's keys; other keys are ignored, but for `tools` and the like of chats, and
 * the kinds may be mixed. Blank lines are skipped; a byte-order mark and CRLF are accepted.
 * @param source the file's text, or its lines one by one, of which no more than the examples stays in memory
 * @param label the file, for messages
 * @throws LoraError that names every bad line as `label:line: reason`, or says that there are no rows.
 */
export function readExamples(source: string | Iterable<string>, label = "the rows"): Example[] {
  const lines = typeof source === "string" ? splitLines(source) : source;
  return collectRows(jsonRows(lines, label), label, EXAMPLE_READER);
}

/**
 * Checks rows as a caller gave them, by the rules for rows of a file.
 * @returns them without what is of no use
 * @throws LoraError that names every bad row by its number, from 1
 */
export function checkExamples(where: string, examples: readonly Example[]): Example[] {
  if (!Array.isArray(examples)) fail(where, `the rows are no list, wanted rows with ${WANTED}`);
  const problems = new Problems();
  const read = examples.flatMap((row: unknown, i) => {
    const example = isObject(row) ? readExample(row) : `is no object, wanted ${WANTED}`;
    if (typeof example !== "string") return [example];
    problems.push(`row ${i + 1} ${example}`);
    return [];
  });
  failAll(where, problems, `each row needs ${WANTED}`);
  return read;
}

/** What language modelling takes from the rows of a file, whose kinds it counts. */
export function exampleReader(): RowReader<Example> {
  const counts = new Map<string, number>();
  return {
    wanted: WANTED,
    read(values) {
      const example = readExample(values);
      const kind = rowKind(values);
      if (typeof example !== "string") counts.set(kind, (counts.get(kind) ?? 0) + 1);
      return example;
    },
    notes: () => [`  rows of ${Array.from(counts, ([kind, count]) => `${kind}: ${count}`).join(", ")}`],
  };
}

function readExample(row: JsonObject): Example | string {
  if ((row.input_ids ?? undefined) !== undefined) return readTokens(row);
  const values = inTrlKeys(row);
  return typeof values === "string" ? values : readTrl(values);
}

function readTrl(values: JsonObject): Example | string {
  const { text, prompt, completion, messages } = values;
  if (messages !== undefined && text === undefined && completion === undefined) return readChat(values);
  if (messages !== undefined) return wrongKeys(Object.keys(values));
  if (text !== undefined && prompt === undefined && completion === undefined) {
    return textProblem(values, "text") ?? { text: text as string };
  }
  if (text === undefined && prompt !== undefined && completion !== undefined) {
    if (Array.isArray(prompt) || Array.isArray(completion)) return readChatCompletion(values);
    const problem = textProblem(values, "prompt") ?? textProblem(values, "completion");
    return problem ?? { prompt: prompt as string, completion: completion as string };
  }
  return wrongKeys(Object.keys(values));
}

/** Keys by which a row is known. */
const KNOWN = [
  ...["text", "prompt", "completion", "messages"],
  ...["conversations", "instruction", "output", "input_ids"],
];

function wrongKeys(keys: readonly string[]): string {
  const has = keys.length === 0 ? "no keys" : `keys ${keysOf(keys)}`;
  const missing = KNOWN.filter((key) => !keys.includes(key));
  const hints = keys.slice(0, 20).flatMap((key) => {
    const meant = KNOWN.includes(key) ? undefined : nearest(key, missing);
    return meant === undefined ? [] : [`"${meant}" for "${key}"`];
  });
  const hint = hints.length === 0 ? "" : `; did you mean ${hints.join(", ")}?`;
  const both = isOfTwoKinds(keys) ? " (one kind, not both)" : "";
  return `has ${has}, wanted ${WANTED}${both}${hint}`;
}

function isOfTwoKinds(keys: readonly string[]): boolean {
  const kinds = [["text"], ["prompt", "completion"], ["messages"]];
  return kinds.filter((kind) => kind.every((key) => keys.includes(key))).length > 1;
}
