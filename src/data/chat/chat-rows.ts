import { fail } from "../../util/fail.ts";
import { isObject, type JsonObject } from "../../util/json.ts";
import { shown } from "../../util/shown.ts";
import { type Message, messagesProblem } from "./messages.ts";

/** What a chat comes with, by TRL's names of the columns. */
export interface ChatContext {
  /** JSON schemas of what the assistant may call. */
  readonly tools?: readonly JsonObject[] | null;
  /** What answers are to be taken from. */
  readonly documents?: readonly JsonObject[] | null;
  /** Other names that the template knows, such as `enable_thinking`. */
  readonly chat_template_kwargs?: JsonObject | null;
}

/** A chat to learn. */
export interface ChatExample extends ChatContext {
  /** All of it, in order. */
  readonly messages: readonly Message[];
}

/** The end of a chat to learn, given its beginning. */
export interface ChatCompletionExample extends ChatContext {
  /** How the chat begins. */
  readonly prompt: readonly Message[];
  /** How it goes on. */
  readonly completion: readonly Message[];
}

/** A chat as a caller gave it. @throws LoraError where it is none */
export function checkChat(where: string, chat: ChatExample): ChatExample {
  const read = isObject(chat)
    ? readChat(chat)
    : `prompt is ${shown(chat)}, wanted a text, or an object with messages`;
  return typeof read === "string" ? fail(where, read, "messages have a role and content each") : read;
}

/** A row with `messages`, or what is wrong with it. */
export function readChat(values: JsonObject): ChatExample | string {
  const context = readContext(values);
  const problem = messagesProblem(values.messages);
  if (problem !== undefined || typeof context === "string") return problem ?? String(context);
  return { messages: values.messages as readonly Message[], ...context };
}

/** A row with `prompt` and `completion` as messages, or what is wrong with it. */
export function readChatCompletion(values: JsonObject): ChatCompletionExample | string {
  const { prompt, completion } = values;
  const context = readContext(values);
  const problem = messagesProblem(prompt, "prompt") ?? messagesProblem(completion, "completion");
  if (problem !== undefined || typeof context === "string") return problem ?? String(context);
  return { prompt: prompt as readonly Message[], completion: completion as readonly Message[], ...context };
}

/** What a chat comes with, or what is wrong with it. */
export function readContext({ tools, documents, chat_template_kwargs }: JsonObject): ChatContext | string {
  const read = {
    tools: parsed(tools),
    documents: parsed(documents),
    chat_template_kwargs: parsed(chat_template_kwargs),
  };
  for (const key of ["tools", "documents"] as const) {
    const value = read[key];
    if (value !== undefined && !(Array.isArray(value) && value.every(isObject))) {
      return `"${key}" is ${shown(read[key])}, wanted a list of objects`;
    }
  }
  const { chat_template_kwargs: more } = read;
  if (more !== undefined && !isObject(more))
    return `"chat_template_kwargs" is ${shown(more)}, wanted an object`;
  return Object.fromEntries(Object.entries(read).filter(([, value]) => value !== undefined));
}

/** Columns of tables hold JSON as text. Null is none. */
function parsed(value: unknown): unknown {
  if (value === null) return undefined;
  if (typeof value !== "string") return value;
  try {
    return JSON.parse(value) ?? undefined;
  } catch {
    return value;
  }
}
