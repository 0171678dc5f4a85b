import { requireTokenizer } from "../../io/tokenizer/require-tokenizer.ts";
import type { Tokenizer } from "../../io/tokenizer/tokenizer.ts";
import type { Task } from "../../models/model.ts";
import { fail } from "../../util/fail.ts";
import type { PairedTexts, TaggedWords, TextWithLabel } from "../rows/labelled.ts";
import { wholeEncoder } from "../tokenize/encode-task.ts";
import { settleMaxLength } from "../tokenize/row-encoding.ts";
import {
  type EncodedItem,
  type ItemEncoder,
  isCut,
  labelledItems,
  maskedItems,
  pairedItems,
  taggedItems,
} from "../tokenize/task-rows.ts";
import type { Truncation } from "../tokenize/truncation.ts";
import { ItemInspector, type ItemInspectorOptions } from "./item-inspector.ts";
import type { Look } from "./looks.ts";
import { itemViewer } from "./row-view.ts";

/** What makes tokens of rows for a model of any task on texts. */
export interface TaskText {
  readonly name: string;
  readonly tokenizer: Tokenizer | undefined;
  readonly config: { readonly vocabSize: number; readonly maxPositions: number };
  /** Names of the classes of its head; absent where the task has none. */
  readonly classes?: readonly string[];
}

/** What is said of rows of a task on texts. */
export interface ItemSettings {
  /** Tokens of a text at most; what the model takes, up to 1024, unless given. */
  readonly maxLength?: number | undefined;
  readonly truncation: Truncation;
}

/** What a row of a task on texts holds. */
export type TextRow = TextWithLabel | TaggedWords | PairedTexts | { readonly text: string };

/** A task on texts that is no language modelling. */
export type TextTask = Exclude<Task, "causal-lm" | "image-classification">;

/** The classes that a row names: its own, or those of its words. */
export const labelsOf = (row: TextRow): readonly string[] =>
  "tags" in row ? row.tags : "label" in row ? [row.label] : [];

/** How rows of a task on texts are looked at. */
export interface ItemLook extends Look<TextRow, EncodedItem> {
  /** Tokens that a text has at most. */
  readonly maxLength: number;
  encode(row: TextRow, place: number): EncodedItem;
  inspector(judged?: ReadonlySet<number>): ItemInspector;
}

/** Rows of a task on texts that is no language modelling. */
export function itemLook(
  task: TextTask,
  model: TaskText,
  { maxLength: asked, truncation }: ItemSettings,
  note: (line: string) => void,
): ItemLook {
  if (truncation.startsWith("keep"))
    fail("truncation", `${truncation} is for causal-lm`, "truncate, or drop");
  const tokenizer = requireTokenizer(model);
  const maxLength = settleMaxLength(model.config.maxPositions, asked, note);
  const encode = itemEncoder(task, tokenizer, maxLength, model.classes);
  const options: ItemInspectorOptions = {
    ...{ tokenizer, maxLength, embeddingRows: model.config.vocabSize },
    ...(model.classes && { classes: model.classes }),
    isTagged: task === "token-classification",
    isContrastive: task === "sentence-embedding",
  };
  return {
    maxLength,
    encode(row, place) {
      const { texts, ...encoded } = encode(row);
      const fate = isBlank(row) ? "empty" : truncation === "drop" && texts.some(isCut) ? "too long" : "kept";
      return { place, fate, texts: fate === "empty" ? [] : texts, ...encoded };
    },
    inspector: (judged) => new ItemInspector({ ...options, ...(judged && { judged }) }),
    view: itemViewer(tokenizer),
  };
}

function itemEncoder(
  task: TextTask,
  tokenizer: Tokenizer,
  maxLength: number,
  classes: readonly string[] = [],
): ItemEncoder<TextRow, unknown> {
  const encoder = wholeEncoder(tokenizer, maxLength);
  const encoders: Record<typeof task, ItemEncoder<never, unknown>> = {
    "sequence-classification": labelledItems(encoder, classes),
    "token-classification": taggedItems(encoder, classes),
    "masked-lm": maskedItems(encoder),
    "sentence-embedding": pairedItems(encoder),
  };
  return encoders[task] as ItemEncoder<TextRow, unknown>;
}

/** Whether there is nothing to read, so that the row is left out. */
function isBlank(row: TextRow): boolean {
  if ("words" in row) return row.words.join(" ").trim() === "";
  return ("anchor" in row ? row.anchor && row.positive : row.text).trim() === "";
}
