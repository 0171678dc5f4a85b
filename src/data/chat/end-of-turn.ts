import type { Tokenizer } from "../../io/tokenizer/tokenizer.ts";
import { LoraError } from "../../util/fail.ts";
import type { ChatTemplate } from "./chat-template.ts";
import { renderChat } from "./render.ts";

/** An answer that no template writes by itself. */
const PROBE = "0f3b7c5e";

const known = new WeakMap<ChatTemplate, string>(); // a cache

/**
 * What a template writes behind an answer, without white space at its end, such as `<|im_end|>`; empty where that is
 * nothing.
 */
export function endOfTurnText(template: ChatTemplate): string {
  const found = known.get(template) ?? probe(template);
  known.set(template, found);
  return found;
}

function probe(template: ChatTemplate): string {
  const messages = [
    { role: "user", content: "a" },
    { role: "assistant", content: PROBE },
  ];
  try {
    const { text } = renderChat(messages, template);
    const at = text.lastIndexOf(PROBE);
    return at < 0 ? "" : text.slice(at + PROBE.length).trimEnd();
  } catch (error) {
    if (error instanceof LoraError) return ""; // it takes other chats than this one
    throw error;
  }
}

/** A token that ends an answer. */
export interface EndOfTurn {
  readonly id: number;
  readonly text: string;
}

/**
 * The special token that a template writes behind an answer: what a model learns to end its turn with, and what
 * generation stops at. Undefined where it writes none.
 */
export function endOfTurnToken(template: ChatTemplate, tokenizer: Tokenizer): EndOfTurn | undefined {
  for (const id of tokenizer.encode(endOfTurnText(template), { addSpecialTokens: false })) {
    const text = tokenizer.specialToken(id);
    if (text !== undefined) return { id, text };
  }
  return undefined;
}
