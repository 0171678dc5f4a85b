import type { Template } from "../../io/jinja/template.ts";
import type { ChatTemplateSources } from "../../io/tokenizer/chat-templates.ts";

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

/** The chat templates of a model, and how it is called in messages. */
export interface ChatTemplates {
  readonly name: string;
  readonly chatTemplates: ChatTemplateSources;
}
