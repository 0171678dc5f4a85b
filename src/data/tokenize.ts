import type { Tokenizer } from "../io/tokenizer/tokenizer.ts";
import { fail, failAll, LoraError, Problems } from "../util/fail.ts";
import { checkOptions, flag, integer, oneOf, type Rules, text, withDefaults } from "../util/options.ts";
import { type ChatTemplates, templateChooser } from "./chat/chat-template.ts";
import { exampleEncoder } from "./encode-example.ts";
import { checkExamples, type Example, isChat, usesTools } from "./examples.ts";
import { RowCheck } from "./vocabulary.ts";

/** The label of a position that gives no loss, as in PyTorch and Hugging Face. */
export const IGNORE_INDEX = -100;

/** Tokens with a label each: of position i itself, or {@link IGNORE_INDEX}. For masked texts and classified tokens. */
export interface LabelledTokens {
  readonly inputIds: readonly number[];
  readonly labels: readonly number[];
}

/**
 * Tokens that are predicted from those before them. `labels[i]` is `inputIds[i]` where it is to be predicted (from
 * position i − 1) and {@link IGNORE_INDEX} elsewhere. Nothing predicts the first token: `labels[0]` is ignored.
 */
export type Sequence = LabelledTokens;

/** What became of the rows; to be printed before the first step. */
export interface TokenizeReport {
  /** Rows that were given. */
  rows: number;
  /** Rows cut to `maxLength`. */
  truncated: number;
  /** Rows left out because they are longer than `maxLength`. */
  dropped: number;
  /** Rows left out because no label remains, mostly a prompt that fills `maxLength`. */
  droppedNoLabels: number;
  /** Rows left out because their `text` is empty. */
  droppedEmpty: number;
  /** Rows of which what is learnt begins within a token: texts are tokenised with what is before them. */
  straddling: number;
  /** Chats that are learnt without the token that ends an answer: without it a model never stops. */
  openEnds: number;
  /** Tokens of the longest row before any cut. */
  longest: number;
  /** Whether a row was so long that its tokens were not counted to the end: the longest then has more. */
  longestIsLeast: boolean;
  /** Tokens that are kept. */
  tokens: number;
  /** Kept tokens that give a loss. */
  labelTokens: number;
}

/** Options of {@link tokenizeExamples}. */
export interface TokenizeOptions {
  /** Tokens a sequence has at most. */
  maxLength: number;
  /** What to do with a longer row: keep its start, or leave it out. */
  truncation?: "truncate" | "drop";
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
  truncation: oneOf(["truncate", "drop"]),
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

/**
 * Tokenises examples and decides which tokens give a loss.
 * Rows with an empty `text` (data sets like WikiText are full of them) and rows without any label
 * are left out and counted.
 * @returns also the place of each sequence's row, from 0
 * @param model what it is for; without it any token is fine, and chats need a template
 * @throws LoraError if nothing remains, or naming the rows that hold a token which the embedding lacks, that the template
 * refuses, or that are no chats where only answers are to be learnt
 */
export function tokenizeExamples(
  examples: readonly Example[],
  tokenizer: Tokenizer,
  options: TokenizeOptions,
  model: TokenizeFor = {},
): { sequences: Sequence[]; places: number[]; report: TokenizeReport } {
  checkOptions("tokenizeExamples", options, TOKENIZE_RULES);
  const checked = checkExamples("tokenizeExamples", examples);
  if (checked.length === 0) fail("tokenizeExamples", "there are no rows", "give one or more");
  const { chatTemplate, ...settled } = withDefaults(TOKENIZE_DEFAULTS, options);
  const { maxLength, truncation } = settled;
  if (settled.assistantOnlyLoss || settled.maskHistory) checkChats(checked);
  const { name = "the model", chatTemplates = new Map(), embeddingRows = Number.POSITIVE_INFINITY } = model;
  const templateFor = templateChooser({ name, chatTemplates }, tokenizer, chatTemplate);
  for (const hasTools of new Set(checked.filter(isChat).map(usesTools))) templateFor(hasTools);
  const encode = exampleEncoder(tokenizer, {
    ...settled,
    completionOnlyLoss: settled.maskPrompt,
    templateFor,
  });
  const sequences: Sequence[] = [];
  const places: number[] = [];
  const report = emptyReport(examples.length);
  const check = new RowCheck({ tokenizer, rows: embeddingRows });
  const refused = new Problems();
  for (const [i, example] of checked.entries()) {
    if ("text" in example && example.text === "") {
      report.droppedEmpty++;
      continue;
    }
    const encoded = inRow(i + 1, refused, () => encode(example));
    if (encoded === undefined) continue;
    const { ids, isTrained, isCut = false } = encoded;
    report.longestIsLeast ||= isCut;
    report.longest = Math.max(report.longest, ids.length);
    if (ids.length > maxLength && truncation === "drop") {
      report.dropped++;
      continue;
    }
    if (ids.length > maxLength) report.truncated++;
    const kept = ids.slice(0, maxLength);
    check.add(i + 1, kept);
    const sequence = sequenceOf(kept, isTrained);
    if (!count(sequence, report)) continue;
    if (encoded.straddles) report.straddling++;
    if (encoded.isOpen) report.openEnds++;
    sequences.push(sequence);
    places.push(i);
  }
  failAll("tokenizeExamples", refused);
  check.finish("tokenizeExamples");
  if (sequences.length === 0)
    fail("tokenizeExamples", nothingLeft(report), "raise maxLength, or look at the rows");
  return { sequences, places, report };
}

function emptyReport(rows: number): TokenizeReport {
  return {
    rows,
    truncated: 0,
    dropped: 0,
    droppedNoLabels: 0,
    droppedEmpty: 0,
    straddling: 0,
    openEnds: 0,
    longest: 0,
    longestIsLeast: false,
    tokens: 0,
    labelTokens: 0,
  };
}

function nothingLeft({ rows, dropped, droppedNoLabels, droppedEmpty, longest }: TokenizeReport): string {
  return (
    `none of the ${rows} rows is left: ${dropped} too long, ${droppedNoLabels} without labels, ` +
    `${droppedEmpty} empty; the longest has ${longest} tokens`
  );
}

function checkChats(examples: readonly Example[]): void {
  const others = new Problems();
  for (const [i, example] of examples.entries()) {
    if (!isChat(example))
      others.push(`row ${i + 1} has no messages, of which the assistant's could be learnt`);
  }
  failAll("tokenizeExamples", others, "leave assistantOnlyLoss and maskHistory out, or give chats");
}

/** What `task` makes of a row; an error in it is noted under the row's number. */
function inRow<T>(row: number, problems: Problems, task: () => T): T | undefined {
  try {
    return task();
  } catch (error) {
    if (!(error instanceof LoraError)) throw error;
    problems.push(new LoraError(error.kind, `row ${row}`, error));
    return undefined;
  }
}

/** Nothing predicts the first token. */
function sequenceOf(inputIds: readonly number[], isTrained: (at: number) => boolean): Sequence {
  return { inputIds, labels: inputIds.map((id, i) => (i > 0 && isTrained(i) ? id : IGNORE_INDEX)) };
}

/** Counts a sequence. @returns whether it has a label, and so a use */
function count(sequence: Sequence, report: TokenizeReport): boolean {
  // Masking goes by position: an EOS that is also the padding token is a label like any other.
  const labelTokens = sequence.labels.filter((label) => label !== IGNORE_INDEX).length;
  if (labelTokens === 0) {
    report.droppedNoLabels++;
    return false;
  }
  report.tokens += sequence.inputIds.length;
  report.labelTokens += labelTokens;
  return true;
}
