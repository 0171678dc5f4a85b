import { LoraError } from "../../util/fail.ts";
import type { Message } from "./messages.ts";
import { renderChat } from "./render.ts";
import type { ChatPart } from "./shown-parts.ts";
import type { WholeChat } from "./turns.ts";

/** How templates in Python's Jinja write null. */
const NONE = "None";

/** A text that no template writes by itself. */
const PROBE = "b71e64a2";

/**
 * The messages with null for their content (an assistant's that only calls) in whose place a template writes the word
 * None: it puts the content into the text without asking whether there is one.
 */
export function noneParts(chat: WholeChat): ChatPart[] {
  const { messages, rendered } = chat;
  if (!rendered.text.includes(NONE)) return [];
  return messages.flatMap((message, i) =>
    message.content === null && writesNone(chat, i, message)
      ? [{ name: message.role, isShown: true, isNone: true }]
      : [],
  );
}

/** Whether another content would stand where the text has None, and all else would be the same. */
function writesNone(
  { messages, template, options, rendered }: WholeChat,
  i: number,
  message: Message,
): boolean {
  try {
    const probed = renderChat(messages.with(i, { ...message, content: PROBE }), template, options).text;
    return probed.includes(PROBE) && probed.replace(PROBE, NONE) === rendered.text;
  } catch (error) {
    if (error instanceof LoraError) return false; // it asks, and refuses one
    throw error;
  }
}
