import type { RowTally } from "./ledger.ts";
import type { Lengths } from "./lengths.ts";
import type { Finding, FindingKind, RowCounts } from "./report.ts";

/** What the words about a finding may depend on. */
export interface WordsContext {
  readonly counts: Pick<RowCounts, "rows" | "longest" | "longestIsLeast">;
  readonly lengths: Lengths;
  readonly maxLength: number;
}

/** What a kind of finding says. */
export interface Words {
  /** A warning unless given. */
  readonly level?: (tally: RowTally, context: WordsContext) => Finding["level"];
  /** Behind "3 of 10 rows ". */
  readonly message: string | ((context: WordsContext) => string);
  readonly help: string | ((context: WordsContext) => string);
}

/** Kinds that are told of something else than rows, by words of their own. */
type Special =
  | "nothing-trained"
  | "lost-role"
  | "none-content"
  | "missing-label"
  | "rare-label"
  | "one-label";

const always = () => "error" as const;

/** More than this share of the rows cut before anything is learnt from them is no accident. */
const CUT_AT_MOST = 0.5;

const lengthHelp = ({ counts, lengths }: WordsContext) =>
  `raise max_length: 99 % of the rows have ${lengths.p99} tokens or fewer, ` +
  `the longest row has ${counts.longestIsLeast ? "at least " : ""}${counts.longest}`;

/** What each kind says. */
export const WORDS: Readonly<Record<Exclude<FindingKind, Special>, Words>> = {
  "no-end": {
    level: always,
    message: "end neither with EOS nor with an end-of-turn token that is learnt: the model would never stop",
    help: "raise max_length where rows are cut, or take a template that writes a token behind an answer, inside of {% generation %}",
  },
  "open-end": {
    message: "end neither with EOS nor with an end-of-turn token that is learnt",
    help: "where many do, the model goes on without end: raise max_length where rows are cut, or leave such rows out",
  },
  "double-bos": {
    level: always,
    message: "begin with BOS twice, which no text in use does",
    help: "take it out of the text, or out of the template: the tokenizer writes one by itself before texts, and none before chats",
  },
  "cut-before": {
    level: ({ rows }, { counts }) => (rows > CUT_AT_MOST * counts.rows ? "error" : "warning"),
    message: ({ maxLength }) =>
      `are cut before the completion and left out: the prompt alone fills max_length ${maxLength}`,
    help: lengthHelp,
  },
  "no-labels": {
    message: "have nothing to learn and are left out",
    help: "the completion is empty, or no message is the assistant's, or all of it is masked",
  },
  refused: {
    level: always,
    message: "cannot be rendered or masked by the chat template",
    help: "mend these rows, or take another template with chat_template",
  },
  "unknown-token": {
    level: always,
    message: "hold a token for which the model has no row in its embedding",
    help: "take the token out of the text, or give the model a row for it",
  },
  cut: {
    message: ({ maxLength }) => `are cut to max_length ${maxLength}: what is cut off is not learnt`,
    help: lengthHelp,
  },
  "too-long": {
    message: ({ maxLength }) => `are longer than max_length ${maxLength} and left out`,
    help: lengthHelp,
  },
  empty: { message: "have an empty text and are left out", help: "nothing needs to be done" },
  "near-empty": {
    message: "have nothing to learn but white space or the end",
    help: "leave them out, unless silence is the answer",
  },
  seam: {
    message: "have a token that goes over the end of the prompt, and is learnt whole",
    help: "end the prompt without a space, and begin the completion with it: in use the prompt is tokenised alone",
  },
  duplicate: {
    message: "are the same as an earlier one, token for token",
    help: "leave them out, unless they are to weigh more",
  },
  conflict: {
    message: "are the same as an earlier one, but for what is said of them",
    help: "look which of them is right: what contradicts itself cannot be learnt",
  },
  "unread-word": {
    message: "have words that become no token, whose classes are not learnt",
    help: "take empty words and invisible characters out, with their tags",
  },
  "equal-pair": {
    message: "are pairs of one text with itself, from which nothing is learnt",
    help: "leave them out",
  },
  "shared-text": {
    message:
      "share a text with another pair: side by side in a batch it is taken for one that means something else",
    help: "keep one pair of each text, or give larger data, in which they seldom meet",
  },
  "equal-answers": {
    level: ({ rows }, { counts }) => (rows === counts.rows ? "error" : "warning"),
    message: "have two equal answers, between which nothing can be preferred",
    help: "leave them out",
  },
  overlap: {
    message: "are in the evaluation data, too, which then cannot tell whether the model learns or remembers",
    help: "take them out of one of the two",
  },
};
