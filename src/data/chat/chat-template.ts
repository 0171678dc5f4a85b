import { readTemplate, type Template } from "../../io/jinja/template.ts";
import {
  type ChatTemplateSource,
  type ChatTemplateSources,
  chooseChatTemplate,
} from "../../io/tokenizer/chat-templates.ts";
import type { Tokenizer } from "../../io/tokenizer/tokenizer.ts";

/** A chat template with the texts of the tokenizer's special tokens, which it may write. */
export interface ChatTemplate {
  /** The file or the field that it comes from, for messages. */
  readonly name: string;
  /** What is written there. */
  readonly source: string;
  /** The same, read. */
  readonly template: Template;
  /** `bos_token`, `eos_token` and the like, by these names. */
  readonly specialTokens: Readonly<Record<string, string>>;
}

/**
 * Reads a chat template for a model.
 * @throws LoraError naming the line, for a mistake of syntax
 */
export function readChatTemplate(
  { source, place }: ChatTemplateSource,
  { specialTokens }: Pick<Tokenizer, "specialTokens">,
): ChatTemplate {
  return { name: place, source, template: readTemplate(source, place), specialTokens };
}

/** The chat templates of a model, and how it is called in messages. */
export interface ChatTemplates {
  readonly name: string;
  readonly chatTemplates: ChatTemplateSources;
}

/**
 * Makes a function that gives the template for a chat, read when it is asked for: that of a name, or what is written, or
 * else the model's own, which may be another one for chats with tools.
 * @param choice a name, or a template itself, in which there are braces
 * @throws LoraError (the function) where there is none, or for a mistake in it
 */
export function templateChooser(
  { name, chatTemplates }: ChatTemplates,
  tokenizer: Pick<Tokenizer, "specialTokens">,
  choice?: string,
): (hasTools: boolean) => ChatTemplate {
  const read = new Map<string, ChatTemplate>();
  return (hasTools) => {
    const isWritten = choice !== undefined && !chatTemplates.has(choice) && /\{[{%]/.test(choice);
    const chosen = isWritten
      ? { source: choice, place: "chatTemplate" }
      : chooseChatTemplate(chatTemplates, name, { name: choice, hasTools });
    const template = read.get(chosen.source) ?? readChatTemplate(chosen, tokenizer);
    read.set(chosen.source, template);
    return template;
  };
}
