import { readTemplate } from "../../io/jinja/template.ts";
import type { ChatTemplateSource } from "../../io/tokenizer/chat-templates.ts";
import type { Tokenizer } from "../../io/tokenizer/tokenizer.ts";
import type { ChatTemplate } from "./chat-template.ts";

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
