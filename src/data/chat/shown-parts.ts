import { isObject } from "../../util/json.ts";
import type { Message } from "./messages.ts";

/** Something of a chat that belongs into its text. */
export interface ChatPart {
  /** The role of a message, or what it has beside its content, as `assistant's tool_calls`. */
  readonly name: string;
  /** Whether the rendered text holds it. */
  readonly isShown: boolean;
  /** Whether the text has None in place of a content that is null. */
  readonly isNone?: boolean;
}

/** Characters of a message that are looked for: a template may cut or trim what is behind them. */
const LOOKED_FOR = 32;

/**
 * Which messages stand in a rendered chat: a template may leave out without a word what it does not know, such as the
 * system's message, the answers of tools, or calls. Messages without a text are not looked for.
 */
export function shownParts(messages: readonly Message[], rendered: string): ChatPart[] {
  return messages.flatMap(({ role, content, tool_calls }) => {
    const texts = textsOf(content).filter((text) => text !== "");
    const names = (tool_calls ?? []).map(nameOfCall).filter((name) => name !== undefined);
    return [...partOf(role, texts, rendered), ...partOf(`${role}'s tool_calls`, names, rendered)];
  });
}

function partOf(name: string, texts: readonly string[], rendered: string): ChatPart[] {
  if (texts.length === 0) return [];
  return [{ name, isShown: texts.every((text) => holds(rendered, text)) }];
}

/** As it is, or as JSON has it. */
function holds(rendered: string, text: string): boolean {
  const start = text
    .slice(0, LOOKED_FOR)
    .toWellFormed()
    .replace(/\uFFFD$/, "");
  return rendered.includes(start) || rendered.includes(JSON.stringify(start).slice(1, -1));
}

/** The texts of a message. Of an answer with the thoughts before it, which many templates drop, only the answer. */
function textsOf(content: Message["content"]): string[] {
  if (typeof content === "string") return [(content.split("</think>").at(-1) ?? "").trim()];
  if (!Array.isArray(content)) return [];
  const parts: readonly unknown[] = content;
  return parts.flatMap((part) => (isObject(part) && typeof part.text === "string" ? [part.text.trim()] : []));
}

function nameOfCall(call: unknown): string | undefined {
  const { function: called, name } = isObject(call) ? call : {};
  const found = isObject(called) ? called.name : name;
  return typeof found === "string" ? found : undefined;
}
