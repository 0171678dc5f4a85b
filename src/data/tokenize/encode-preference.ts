import type { Tokenizer } from "../../io/tokenizer/tokenizer.ts";
import type { LoraError } from "../../util/fail.ts";
import type { ChatTools } from "../chat/late-chats.ts";
import type { Example } from "../rows/examples.ts";
import { isPaired, type PreferenceRow } from "../rows/preferences.ts";
import { type EncodedRow, type RowFate, rowEncoder } from "./encode-rows.ts";
import type { TokenizeFor, TokenizeOptions } from "./tokenize-options.ts";

/** What an answer is among those of its row. */
export type AnswerName = "chosen" | "rejected" | "desirable" | "undesirable";

/** An answer behind its prompt, as it is trained on. */
export interface EncodedAnswer {
  /** Which one of its row. */
  readonly name: AnswerName;
  /** Prompt and answer. */
  readonly row: EncodedRow;
}

/** A row that says which answers are better, as it is trained on, or why it is not. */
export interface EncodedPreference {
  /** Its place among the rows that were given, from 0. */
  readonly place: number;
  /** `kept` where all answers are. */
  readonly fate: RowFate;
  /** The chosen one and the rejected one, or the one that was judged. */
  readonly answers: readonly EncodedAnswer[];
  /** Why it is refused. */
  readonly problem?: LoraError;
}

/** How preferences become tokens: as a completion does, of which all is learnt and its prompt never is. */
export type PreferenceOptions = Omit<TokenizeOptions, "maskPrompt" | "assistantOnlyLoss" | "maskHistory">;

/** Fates from the one that settles a row's to the one that all answers must have. */
const FATES: readonly RowFate[] = ["refused", "empty", "too long", "no labels", "kept"];

/**
 * Makes a function that encodes rows one at a time: each answer with its prompt, tokenised together, as TRL's trainers for
 * DPO and KTO do. Where a token goes over the end of the prompt, it is learnt, and what TRL would lose of it is not lost.
 */
export function preferenceEncoder(
  tokenizer: Tokenizer,
  options: PreferenceOptions,
  model: TokenizeFor = {},
  chats?: () => ChatTools,
): (row: PreferenceRow, place: number) => EncodedPreference {
  const { encode } = rowEncoder(tokenizer, { ...options, maskPrompt: true }, model, chats);
  return (row, place) => {
    const answers = answersOf(row).map(({ name, example }) => ({ name, row: encode(example, place) }));
    const fate = FATES.find((fate) => answers.some(({ row }) => row.fate === fate)) ?? "kept";
    const problem = answers.find(({ row }) => row.problem !== undefined)?.row.problem;
    return { place, fate, answers, ...(problem && { problem }) };
  };
}

function answersOf(row: PreferenceRow): { readonly name: AnswerName; readonly example: Example }[] {
  if (!isPaired(row)) {
    const { label, ...example } = row;
    return [{ name: label ? "desirable" : "undesirable", example }];
  }
  const { chosen, rejected, margin: _, ...rest } = row;
  return [
    { name: "chosen", example: { ...rest, completion: chosen } as Example },
    { name: "rejected", example: { ...rest, completion: rejected } as Example },
  ];
}
