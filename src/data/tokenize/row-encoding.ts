import type { Tokenizer } from "../../io/tokenizer/tokenizer.ts";
import type { ChatTemplates } from "../chat/chat-template.ts";
import { defaultMaxLength, type TokenizeFor, type TokenizeOptions } from "./tokenize-options.ts";

/** How rows become tokens of a model. */
export interface RowEncoding {
  readonly tokenizer: Tokenizer;
  /** Tokens of a sequence at most. */
  readonly maxLength: number;
  readonly options: TokenizeOptions;
  readonly model: ChatTemplates & Required<Pick<TokenizeFor, "embeddingRows">>;
}

/** Tokens a row has at most: what is asked for, or 1024, and never more than the model takes. */
export function settleMaxLength(
  positions: number,
  asked: number | undefined,
  note: (line: string) => void,
): number {
  if (asked !== undefined && asked > positions) {
    note(`max_length ${asked} is more than the model's ${positions} positions; ${positions} is used`);
  }
  return Math.min(asked ?? defaultMaxLength(positions), positions);
}
