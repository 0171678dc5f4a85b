import type { JsonObject } from "../../util/json.ts";
import { type ChatExample, readChat } from "../chat/chat-rows.ts";
import { fieldProblem, textProblem } from "./fields.ts";
import { inTrlKeys } from "./row-kinds.ts";
import type { RowReader } from "./rows.ts";

/** What is to be continued or answered. */
export interface PromptRow {
  /** A text, or a chat as far as it goes. */
  readonly prompt: string | ChatExample;
}

/**
 * What generation takes from a row: its prompt, or its chat as far as it goes. What else it has, such as the completion that
 * is wanted, is left alone.
 */
export const PROMPT_READER: RowReader<PromptRow> = {
  wanted: '"prompt" (a text, or a list of messages) or "messages"',
  read(row) {
    const values = inTrlKeys(row);
    const read = typeof values === "string" ? values : readPrompt(values);
    return typeof read === "string" ? read : read.row;
  },
};

function readPrompt(values: JsonObject): { row: PromptRow } | string {
  const { prompt, messages } = values;
  if (prompt === undefined && messages === undefined) return fieldProblem(values, "prompt", "a text");
  if (prompt === undefined || Array.isArray(prompt)) {
    const chat = readChat(prompt === undefined ? values : { ...values, messages: prompt });
    return typeof chat === "string" ? chat : { row: { prompt: chat } };
  }
  return textProblem(values, "prompt") ?? { row: { prompt: prompt as string } };
}
