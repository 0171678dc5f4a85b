import type { ChatExample } from "../data/chat/chat-rows.ts";
import type { Message } from "../data/chat/messages.ts";
import { formatOf } from "../data/files/read-rows.ts";
import type { Example } from "../data/rows/examples.ts";
import { PROMPT_READER } from "../data/rows/prompts.ts";
import { readTextFile } from "../platform/node-text.ts";
import { fail } from "../util/fail.ts";
import { splitLines } from "../util/lines.ts";
import { type ReadSettings, readTable } from "./data-files.ts";

/** Prompts of a file. */
export interface PromptFile {
  readonly prompts: readonly (string | ChatExample)[];
  /** What messages call a prompt, by its place from 0. */
  nameOf(place: number): string;
}

/**
 * The prompts of a file: its lines where it is plain text, else what its rows begin with.
 * @throws LoraError where there are none, naming the rows that cannot be used
 */
export async function readPrompts(
  path: string,
  settings: Pick<ReadSettings, "columns" | "header">,
): Promise<PromptFile> {
  if (formatOf(path) === "txt") return readPromptLines(path);
  const { rows, nameOf } = await readTable(path, PROMPT_READER, { ...settings, on_bad_row: "error" });
  return { prompts: rows.map(({ prompt }) => prompt), nameOf };
}

async function readPromptLines(path: string): Promise<PromptFile> {
  const lines = [...splitLines(await readTextFile(path))].map((text, i) => ({
    text: text.replace(/[\r\n]+$/, ""),
    line: i + 1,
  }));
  const prompts = lines.filter(({ text }) => text.trim() !== "");
  if (prompts.length === 0) fail(path, "has no prompts", "give one on each line");
  return {
    prompts: prompts.map(({ text }) => text),
    nameOf: (place) => `${path}:${prompts[place]?.line}`,
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
