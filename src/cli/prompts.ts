import type { ChatExample } from "../data/chat/chat-rows.ts";
import type { Message } from "../data/chat/messages.ts";
import { blobSpill, type DataFile } from "../data/files/data-file.ts";
import { formatOf, openBytes } from "../data/files/read-rows.ts";
import { LineJoiner, textPieces } from "../data/files/text-pieces.ts";
import type { Example } from "../data/rows/examples.ts";
import { PROMPT_READER } from "../data/rows/prompts.ts";
import { nodeDataFile } from "../platform/node-data-file.ts";
import { fail } from "../util/fail.ts";
import { type ReadSettings, readTable } from "./data-files.ts";

/** Prompts of a file. */
export interface PromptFile {
  readonly prompts: readonly (string | ChatExample)[];
  /** What messages call a prompt, by its place from 0. */
  nameOf(place: number): string;
}

/** What stands for standard input. */
const STDIN = "-";

/**
 * The prompts of a file, which may be packed: its lines where it is plain text, else what its rows begin with. Standard input has rows
 * of JSON where it begins as these do, and else lines.
 * @throws LoraError where there are none, naming the rows that cannot be used
 */
export async function readPrompts(
  path: string,
  settings: Pick<ReadSettings, "columns" | "header">,
): Promise<PromptFile> {
  const file = path === STDIN ? await standardInput() : await nodeDataFile(path);
  const isPlain = path === STDIN ? !/^\uFEFF?\s*[{[]/.test(await beginOf(file)) : formatOf(path) === "txt";
  if (isPlain) return readPromptLines(file);
  const { rows, nameOf } = await readTable(file, PROMPT_READER, { ...settings, on_bad_row: "error" });
  return { prompts: rows.map(({ prompt }) => prompt), nameOf };
}

/** All of it, so that it can be looked at first. */
const standardInput = async () => blobSpill("standard input", process.stdin);

async function* textOf(file: DataFile): AsyncGenerator<string> {
  const opened = await openBytes(file, {});
  if (opened.format === "parquet") return;
  yield* textPieces(opened.bytes, file.name);
}

async function beginOf(file: DataFile): Promise<string> {
  for await (const piece of textOf(file)) return piece;
  return "[";
}

async function readPromptLines(file: DataFile): Promise<PromptFile> {
  const prompts: { text: string; line: number }[] = [];
  const joiner = new LineJoiner(file.name);
  let line = 0;
  const add = (lines: Iterable<string>) => {
    for (const whole of lines) {
      line++;
      const text = (line === 1 ? whole.replace(/^\uFEFF/, "") : whole).replace(/[\r\n]+$/, "");
      if (text.trim() !== "") prompts.push({ text, line });
    }
  };
  for await (const piece of textOf(file)) add(joiner.push(piece));
  add(joiner.end());
  if (prompts.length === 0) fail(file.name, "has no prompts", "give one on each line");
  return {
    prompts: prompts.map(({ text }) => text),
    nameOf: (place) => `${file.name}:${prompts[place]?.line}`,
  };
}

/** A prompt with what was written for it, as a row that can be learnt. */
export function answeredRow(prompt: string | ChatExample, text: string): Example {
  if (typeof prompt === "string") return { prompt, completion: text };
  const answer: Message = { role: "assistant", content: text.trim() };
  const last = prompt.messages.at(-1);
  if (last?.role !== "assistant") return { ...prompt, messages: [...prompt.messages, answer] };
  // It was continued.
  const content =
    typeof last.content === "string"
      ? last.content + text.trimEnd()
      : [...(Array.isArray(last.content) ? last.content : []), { type: "text", text: text.trimEnd() }];
  return { ...prompt, messages: [...prompt.messages.slice(0, -1), { ...last, content }] };
}
