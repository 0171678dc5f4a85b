import { flag, integer, oneOf, type Rules, text } from "../../util/options.ts";
import type { ChatTemplates } from "../chat/chat-template.ts";
import { TRUNCATIONS, type Truncation } from "./truncation.ts";

/** Options of {@link tokenizeExamples}. */
export interface TokenizeOptions {
  /** Tokens a sequence has at most. */
  maxLength: number;
  /** What to do with a longer row; see {@link Truncation}. */
  truncation?: Truncation;
  /** Learn the completion only. */
  maskPrompt?: boolean;
  /** Of chats learn what the assistant writes only, with the token that ends its turn. */
  assistantOnlyLoss?: boolean;
  /** Of what the assistant writes learn the last message only. */
  maskHistory?: boolean;
  /** Renders chats: the name of one of the model's templates, or a Jinja template; the model's own unless given. */
  chatTemplate?: string;
  /** End every row with the EOS token, and learn it: without it a model never stops. */
  appendEos?: boolean;
}

/** What holds where nothing is said, here and on the command line; a length where rows are for a certain model. */
export const TOKENIZE_DEFAULTS: Required<Omit<TokenizeOptions, "chatTemplate">> = {
  maxLength: 1024, // as in TRL
  truncation: "truncate",
  maskPrompt: true,
  assistantOnlyLoss: false,
  maskHistory: false,
  appendEos: true,
};

/** What the options have to be. */
export const TOKENIZE_RULES: Rules<TokenizeOptions> = {
  maxLength: integer({ min: 2 }, "max_seq_length", "maxSeqLength"),
  truncation: oneOf(TRUNCATIONS),
  maskPrompt: flag("completion_only_loss", "completionOnlyLoss"),
  assistantOnlyLoss: flag("assistant_only_loss", "train_on_responses_only"),
  maskHistory: flag("mask_history"),
  chatTemplate: text("chat_template", "chat_template_path", "chatTemplatePath"),
  appendEos: flag("add_eos_token"),
};

/** Tokens a row has at most where nothing is said: 1024, or what the model takes. */
export function defaultMaxLength(positions: number): number {
  return Math.min(TOKENIZE_DEFAULTS.maxLength, positions);
}

/** What rows are tokenised for. */
export interface TokenizeFor extends Partial<ChatTemplates> {
  /** Rows of the model's embedding: a text with a token beyond them is refused. */
  readonly embeddingRows?: number;
}
