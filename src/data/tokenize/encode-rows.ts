import type { Tokenizer } from "../../io/tokenizer/tokenizer.ts";
import { fail, failAll, LoraError, Problems } from "../../util/fail.ts";
import { checkOptions, withDefaults } from "../../util/options.ts";
import type { ChatTemplate } from "../chat/chat-template.ts";
import { type ChatTools, LATE_CHATS } from "../chat/late-chats.ts";
import type { ChatPart } from "../chat/shown-parts.ts";
import { templateChooser } from "../chat/template-chooser.ts";
import { checkExamples, type Example, isChat, usesTools } from "../rows/examples.ts";
import { IGNORE_INDEX, type Sequence } from "../sequence.ts";
import { type EncodedExample, exampleEncoder } from "./encode-example.ts";
import { specialFrame } from "./special-frame.ts";
import {
  TOKENIZE_DEFAULTS,
  TOKENIZE_RULES,
  type TokenizeFor,
  type TokenizeOptions,
} from "./tokenize-options.ts";
import { cutOut, type Lengths, type Truncation } from "./truncation.ts";

/** What becomes of a row. */
export type RowFate =
  | "kept"
  /** Left out: its `text` is empty. */
  | "empty"
  /** Left out: longer than `maxLength`, where such rows are not cut. */
  | "too long"
  /** Left out: nothing of what is kept gives a loss. */
  | "no labels"
  /** Wrong: the template refuses it, or leaves open which tokens are whose. */
  | "refused";

/** A row as it is trained on, or why it is not. */
export interface EncodedRow extends Sequence {
  /** Its place among the rows that were given, from 0. */
  readonly place: number;
  readonly fate: RowFate;
  /** The ids that are cut off: those behind `maxLength`, or as many at the beginning. */
  readonly cut: readonly number[];
  /** Whether they are cut off at the beginning, but for special tokens there. */
  readonly isCutAtStart: boolean;
  /** Whether what gives a loss begins only in what is cut off. */
  readonly isCutBefore: boolean;
  /** Whether these are not all of its tokens: a very long text is not tokenised to its end. */
  readonly isLonger: boolean;
  /** The first of the ids that hold text of what is learnt and of what is before it, by its place; absent where there is none. */
  readonly straddler?: number | undefined;
  /** Whether the last token that gives a loss, but for white space behind it, is one that ends a text or a turn. */
  readonly endsTurn: boolean;
  /** What the template was to write, and whether it did; empty for rows that are no chats. */
  readonly parts: readonly ChatPart[];
  /** Why it is refused. */
  readonly problem?: LoraError;
}

/**
 * Rows as they are trained on, one after the other, and those that are not, with the reason.
 * @param where the function, for messages
 * @throws LoraError where there are no rows, or such as are no examples, or none that are chats where only answers are to be
 * learnt, or no template for chats
 */
export function* encodeRows(
  where: string,
  examples: readonly Example[],
  tokenizer: Tokenizer,
  options: TokenizeOptions,
  model: TokenizeFor = {},
): Generator<EncodedRow> {
  checkOptions(where, options, TOKENIZE_RULES);
  const checked = checkExamples(where, examples);
  if (checked.length === 0) fail(where, "there are no rows", "give one or more");
  if (options.assistantOnlyLoss || options.maskHistory) checkChats(where, checked);
  const { encode, templateFor } = rowEncoder(tokenizer, options, model);
  for (const hasTools of new Set(checked.filter(isChat).map(usesTools))) templateFor(hasTools);
  for (const [place, example] of checked.entries()) yield encode(example, place);
}

/** What makes rows of examples, one at a time. */
export interface RowEncoder {
  /**
   * @param place its place among the rows
   * @throws LoraError where there is no template for a chat
   */
  encode(example: Example, place: number): EncodedRow;
  /** The template of chats, with tools and without. @throws LoraError where there is none */
  readonly templateFor: (hasTools: boolean) => ChatTemplate;
}

/** Makes rows of examples that were checked. */
export function rowEncoder(
  tokenizer: Tokenizer,
  options: TokenizeOptions,
  model: TokenizeFor,
  chats?: () => ChatTools,
): RowEncoder {
  const { chatTemplate, ...settled } = withDefaults(TOKENIZE_DEFAULTS, options);
  const { name = "the model", chatTemplates = new Map() } = model;
  const templateFor = templateChooser({ name, chatTemplates }, tokenizer, chatTemplate, chats);
  const encode = exampleEncoder(tokenizer, {
    ...settled,
    completionOnlyLoss: settled.maskPrompt,
    needsEnd: settled.truncation === "keep_end",
    needsCompletion: settled.truncation === "keep_completion",
    templateFor,
    chats: chats ?? LATE_CHATS.loaded,
  });
  const cutter: Cutter = { ...settled, tokenizer, before: specialFrame(tokenizer).before };
  return {
    templateFor,
    encode(example, place) {
      if ("text" in example && example.text === "") return { ...NOTHING, place, fate: "empty" };
      if (isChat(example)) templateFor(usesTools(example)); // that there is none is no fault of the row
      return { ...encodeRow(() => encode(example), cutter), place };
    },
  };
}

const NOTHING: Omit<EncodedRow, "place" | "fate"> = {
  inputIds: [],
  labels: [],
  cut: [],
  isCutAtStart: false,
  isCutBefore: false,
  isLonger: false,
  endsTurn: false,
  parts: [],
};

/** How rows are cut. */
interface Cutter {
  readonly tokenizer: Tokenizer;
  readonly maxLength: number;
  readonly truncation: Truncation;
  /** Special tokens with which a text begins. */
  readonly before: readonly number[];
}

function encodeRow(encode: () => EncodedExample, cutter: Cutter): Omit<EncodedRow, "place"> {
  try {
    return cutRow(encode(), cutter);
  } catch (error) {
    if (!(error instanceof LoraError)) throw error;
    return { ...NOTHING, fate: "refused", problem: error };
  }
}

function cutRow(encoded: EncodedExample, cutter: Cutter): Omit<EncodedRow, "place"> {
  const { ids, isTrained, straddler, isCut = false, isTrainedBeyond = false, parts = [] } = encoded;
  const { start, end } = cutOut(lengthsOf(encoded, cutter), cutter.truncation);
  const isTooLong = end - start === ids.length;
  const keptTo = isTooLong ? cutter.maxLength : start; // what is left out is shown, too
  const cut = isTooLong ? ids.slice(keptTo) : ids.slice(start, end);
  const inputIds = [...ids.slice(0, keptTo), ...(isTooLong ? [] : ids.slice(end))];
  const placeOf = (at: number) => (at < keptTo ? at : at + end - start);
  // Nothing predicts the first token.
  const labels = inputIds.map((id, i) => (i > 0 && isTrained(placeOf(i)) ? id : IGNORE_INDEX));
  const hasLabels = labels.some((label) => label !== IGNORE_INDEX);
  const straddling = inputIds.findIndex((_, i) => placeOf(i) === straddler);
  return {
    inputIds,
    labels,
    fate: isTooLong ? "too long" : hasLabels ? "kept" : "no labels",
    cut,
    isCutAtStart: !isTooLong && end < ids.length,
    isCutBefore: !hasLabels && (isTrainedBeyond || cut.some((_, i) => isTrained(keptTo + i))),
    isLonger: isCut,
    straddler: straddling < 0 ? undefined : straddling,
    endsTurn: endsTurn({ inputIds, labels }, encoded, cutter),
    parts,
  };
}

function lengthsOf({ ids, isTrained }: EncodedExample, { maxLength, before }: Cutter): Lengths {
  const isFramed = before.length < maxLength && before.every((id, i) => ids[i] === id);
  return {
    length: ids.length,
    maxLength,
    head: isFramed ? before.length : 0,
    firstTrained: ids.findIndex((_, i) => isTrained(i)),
  };
}

/** Whether the last label, but for white space, ends a text or a turn. */
function endsTurn({ inputIds, labels }: Sequence, encoded: EncodedExample, { tokenizer }: Cutter): boolean {
  const isBlank = (id: number) => tokenizer.decode([id], { skipSpecialTokens: false }).trim() === "";
  const ends = (id: number) => encoded.endings.includes(id) || tokenizer.stopTokenIds.includes(id);
  let last = labels.length - 1;
  while (last >= 0 && (labels[last] === IGNORE_INDEX || (isBlank(inputIds[last]!) && !ends(inputIds[last]!))))
    last--;
  if (last < 0) return false;
  if (ends(inputIds[last] as number)) return true;
  // A template may end answers with words, of which no token is the last one in every text.
  const isWhole = inputIds.length === encoded.ids.length;
  return isWhole && encoded.endings.length === 0 && encoded.isOpen === false;
}

function checkChats(where: string, examples: readonly Example[]): void {
  const others = new Problems();
  for (const [i, example] of examples.entries()) {
    if (!isChat(example))
      others.push(`row ${i + 1} has no messages, of which the assistant's could be learnt`);
  }
  failAll(where, others, "leave assistantOnlyLoss and maskHistory out, or give chats");
}
