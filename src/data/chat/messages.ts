import { isObject, type JsonObject } from "../../util/json.ts";
import { shown } from "../../util/shown.ts";

/** A part of a message that has several; of text, as language models read it. */
export interface TextPart {
  /** Of other kinds are pictures and the like, which templates may know. */
  readonly type: "text";
  /** What it says. */
  readonly text: string;
}

/**
 * A message of a chat. Templates may know other fields than these; all of them are given to the template as they are,
 * but `train`, which is for the loss.
 */
export interface Message {
  /** Such as `system`, `user`, `assistant` or `tool`; which there are is the template's affair. */
  readonly role: string;
  /** A text, or parts of one; None for an assistant that only calls. */
  readonly content?: string | null | readonly (TextPart | JsonObject)[] | JsonObject;
  /** What an assistant calls: `{"type": "function", "function": {"name", "arguments"}}` each. */
  readonly tool_calls?: readonly JsonObject[] | null;
  /** What a reasoning model thought before it answered. */
  readonly reasoning_content?: string | null;
  /** Whether the message is learnt; what the mask says unless given. `false` takes it out, whatever the mask. */
  readonly train?: boolean | null;
  readonly [field: string]: unknown;
}

/** What is wrong with a chat; undefined where nothing is. */
export function messagesProblem(value: unknown, key = "messages"): string | undefined {
  const name = JSON.stringify(key);
  if (!Array.isArray(value)) return `${name} is ${shown(value)}, wanted a list of messages`;
  if (value.length === 0) return `${name} has no messages`;
  for (const [i, message] of value.entries()) {
    const problem = messageProblem(message);
    if (problem !== undefined) return `${name}[${i}] ${problem}`;
  }
  return undefined;
}

function messageProblem(message: unknown): string | undefined {
  if (!isObject(message)) return `is ${shown(message)}, wanted an object with role and content`;
  const { role, content, train = null, tool_calls = null } = message;
  if (typeof role !== "string" || role === "") {
    const hint =
      typeof message.from === "string" ? " (from and value are ShareGPT's names: rename them)" : "";
    return `has ${role === undefined ? "no role" : `the role ${shown(role)}`}, wanted a text such as "user"${hint}`;
  }
  if (content === undefined && !Object.hasOwn(message, "content") && tool_calls === null) {
    return `(${role}) has no content`;
  }
  if (train !== null && typeof train !== "boolean")
    return `(${role}) has train ${shown(train)}, wanted true or false`;
  if (tool_calls !== null && !(Array.isArray(tool_calls) && tool_calls.every(isObject))) {
    return `(${role}) has tool_calls ${shown(tool_calls)}, wanted a list of objects`;
  }
  return contentProblem(content, role) ?? halfCharacter(message);
}

function contentProblem(content: unknown, role: string): string | undefined {
  if (content === undefined || content === null || typeof content === "string" || isObject(content)) {
    return undefined;
  }
  if (!Array.isArray(content))
    return `(${role}) has content ${shown(content)}, wanted a text or a list of parts`;
  const parts: readonly unknown[] = content;
  const wrong = parts.findIndex((part) => !isObject(part));
  return wrong < 0 ? undefined : `(${role}) has content[${wrong}] ${shown(parts[wrong])}, wanted an object`;
}

/** A text that is not well-formed could not be tokenised, wherever in the message it is. */
function halfCharacter(value: unknown): string | undefined {
  const isBroken = (part: unknown): boolean => {
    if (typeof part === "string") return !part.isWellFormed();
    if (typeof part !== "object" || part === null) return false;
    return Object.entries(part).some(([key, inner]) => isBroken(key) || isBroken(inner));
  };
  return isBroken(value)
    ? "holds half of a surrogate pair (such as \\ud83d alone), which is no character"
    : undefined;
}
