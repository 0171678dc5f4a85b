import { readFile } from "node:fs/promises";
import { DataInspector } from "../../data/inspect/inspector.ts";
import { ItemInspector, type ItemInspectorOptions } from "../../data/inspect/item-inspector.ts";
import { PreferenceInspector } from "../../data/inspect/preference-inspector.ts";
import type { FindingKind, Inspector } from "../../data/inspect/report.ts";
import { bytesKey } from "../../data/inspect/row-key.ts";
import { itemViewer, preferenceViewer, type RowView, rowViewer } from "../../data/inspect/row-view.ts";
import type { Example } from "../../data/rows/examples.ts";
import type { PairedTexts, TaggedWords, TextWithLabel } from "../../data/rows/labelled.ts";
import type { PreferenceRow } from "../../data/rows/preferences.ts";
import type { EncodedPreference } from "../../data/tokenize/encode-preference.ts";
import { preferenceEncoder } from "../../data/tokenize/encode-preference.ts";
import { type EncodedRow, rowEncoder } from "../../data/tokenize/encode-rows.ts";
import { wholeEncoder } from "../../data/tokenize/encode-task.ts";
import {
  type EncodedItem,
  type ItemEncoder,
  isCut,
  labelledItems,
  maskedItems,
  pairedItems,
  taggedItems,
} from "../../data/tokenize/task-rows.ts";
import type { Truncation } from "../../data/tokenize/truncation.ts";
import type { Tokenizer } from "../../io/tokenizer/tokenizer.ts";
import { requireTokenizer } from "../../load/model.ts";
import type { TaskText } from "../../load/model-text.ts";
import type { Task } from "../../models/model.ts";
import { decodeNodeImage } from "../../platform/node-images.ts";
import { fail } from "../../util/fail.ts";
import type { ImageFile } from "../image-folders.ts";
import { type RowEncoding, settleMaxLength } from "../sequences.ts";

/** How rows of one kind are looked at. */
export interface Look<Row, Encoded extends { readonly place: number }> {
  encode(row: Row, place: number): Encoded | Promise<Encoded>;
  /** @param judged keys of rows that a model is judged by */
  inspector(judged?: ReadonlySet<number>): Inspector<Encoded>;
  view(row: Encoded, name: string, findings: readonly FindingKind[]): RowView;
}

/** Rows of language modelling. */
export function exampleLook({ tokenizer, options, model }: RowEncoding): Look<Example, EncodedRow> {
  const { encode } = rowEncoder(tokenizer, options, model);
  const parts = { tokenizer, maxLength: options.maxLength, embeddingRows: model.embeddingRows };
  return {
    encode,
    inspector: (judged) => new DataInspector({ ...parts, ...(judged && { judged }) }),
    view: rowViewer(tokenizer),
  };
}

/** Rows that say which answers are better. */
export function preferenceLook(encoding: RowEncoding): Look<PreferenceRow, EncodedPreference> {
  const { tokenizer, options, model } = encoding;
  const parts = { tokenizer, maxLength: options.maxLength, embeddingRows: model.embeddingRows };
  return {
    encode: preferenceEncoder(tokenizer, options, model),
    inspector: (judged) => new PreferenceInspector({ ...parts, ...(judged && { judged }) }),
    view: preferenceViewer(tokenizer),
  };
}

/** What is said of rows of a task on texts. */
export interface ItemSettings {
  readonly max_length: number | undefined;
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
  { max_length, truncation }: ItemSettings,
  note: (line: string) => void,
): ItemLook {
  if (truncation.startsWith("keep"))
    fail("truncation", `${truncation} is for causal-lm`, "truncate, or drop");
  const tokenizer = requireTokenizer(model);
  const maxLength = settleMaxLength(model.config.maxPositions, max_length, note);
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

/** Images in folders, which are decoded to see that they can be. */
export function imageLook(classes: readonly string[]): Look<ImageFile, EncodedItem> {
  return {
    async encode({ path, label }, place) {
      const bytes = new Uint8Array(await readFile(path));
      const { width, height } = await decodeNodeImage(bytes, path);
      return {
        place,
        fate: "kept",
        texts: [],
        labels: [label],
        key: bytesKey(bytes),
        item: { width, height },
      };
    },
    inspector: (judged) => new ItemInspector({ maxLength: 0, classes, ...(judged && { judged }) }),
    view: ({ labels, item }, name, findings) => {
      const { width, height } = item as { width: number; height: number };
      return {
        name,
        fate: "kept",
        findings,
        labels,
        trained: 0,
        tokens: [],
        size: `${width} × ${height} pixels`,
      };
    },
  };
}
