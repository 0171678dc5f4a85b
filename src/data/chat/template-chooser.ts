import { chooseChatTemplate } from "../../io/tokenizer/chat-templates.ts";
import type { Tokenizer } from "../../io/tokenizer/tokenizer.ts";
import type { ChatTemplate, ChatTemplates } from "./chat-template.ts";
import { type ChatTools, LATE_CHATS } from "./late-chats.ts";

/**
 * Makes a function that gives the template for a chat, read when it is asked for: that of a name, or what is written, or
 * else the model's own, which may be another one for chats with tools.
 * @param choice a name, or a template itself, in which there are braces
 * @param chats what reads them; what {@link loadChats} has loaded unless given
 * @throws LoraError (the function) where there is none, or for a mistake in it
 */
export function templateChooser(
  { name, chatTemplates }: ChatTemplates,
  tokenizer: Pick<Tokenizer, "specialTokens">,
  choice?: string,
  chats: () => ChatTools = LATE_CHATS.loaded,
): (hasTools: boolean) => ChatTemplate {
  const read = new Map<string, ChatTemplate>();
  return (hasTools) => {
    const isWritten = choice !== undefined && !chatTemplates.has(choice) && /\{[{%]/.test(choice);
    const chosen = isWritten
      ? { source: choice, place: "chatTemplate" }
      : chooseChatTemplate(chatTemplates, name, { name: choice, hasTools });
    const known = read.get(chosen.source);
    if (known) return known;
    const { source, place } = chosen;
    const template = chats().readTemplate(source, place);
    const { specialTokens } = tokenizer;
    const made = { name: place, source, template, specialTokens };
    read.set(source, made);
    return made;
  };
}
