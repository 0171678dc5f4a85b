import { readTemplate, type Template } from "../../io/jinja/template.ts";
import type { ChatTemplateSource } from "../../io/tokenizer/chat-templates.ts";
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
