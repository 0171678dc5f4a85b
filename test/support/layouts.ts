// The same items as batches that lie differently: what a model makes of them must not depend on it.
import { type Batch, collateRows, type PaddingOptions, packRows } from "../../src/data/batch.ts";
import { collateLabels } from "../../src/data/label-batch.ts";
import type { LabelledTokens } from "../../src/data/sequence.ts";
import type { Task } from "../../src/models/model.ts";
import type { LabelledText } from "../../src/train/classification.ts";
import type { TextPair } from "../../src/train/contrastive.ts";
import type { Counted } from "../../src/train/objective.ts";

/** How items become rows: the items of each, by index, and how these are padded. */
export interface RowsOfItems extends PaddingOptions {
  rows: readonly (readonly number[])[];
}

/** Sequences as one batch, each in a row of its own. */
export function collate(sequences: readonly LabelledTokens[], options?: PaddingOptions): Batch {
  return collateRows(
    sequences.map((sequence) => [sequence]),
    "next",
    options,
  );
}

/** Ways to lay out three items. The first is the usual one. */
export const LAYOUTS: Readonly<Record<string, RowsOfItems>> = {
  "padded on the right": { rows: [[0], [1], [2]] },
  "padded on the left": { rows: [[0], [1], [2]], paddingSide: "left" },
  "padded far on the right": { rows: [[0], [1], [2]], padToMultipleOf: 48 },
  "packed in one row": { rows: [[0, 1, 2]], padToMultipleOf: 1 },
  "packed in two rows, padded on the left": { rows: [[0], [1, 2]], paddingSide: "left" },
};

/** A batch of items, as the objective of a task reads it. */
export function layItems(task: Task, items: readonly never[], { rows, ...options }: RowsOfItems): Counted {
  const groups = <T>() => rows.map((row) => row.map((i) => items[i] as T));
  const pack = <T>(idsOf: (item: T) => readonly number[]) =>
    packRows(
      groups<T>().map((row) => row.map(idsOf)),
      options,
    );
  if (task === "sentence-embedding") {
    const first = pack<TextPair>((pair) => pair.first);
    const second = pack<TextPair>((pair) => pair.second);
    return { first, second, tokens: first.tokens + second.tokens, terms: items.length } as Counted;
  }
  if (task === "sequence-classification") {
    const labels = Int32Array.from(groups<LabelledText>().flat(), ({ label }) => label);
    return { ...pack<LabelledText>(({ inputIds }) => inputIds), labels, terms: labels.length } as Counted;
  }
  if (task === "token-classification") return collateLabels(groups<LabelledTokens>(), options);
  return collateRows(groups<LabelledTokens>(), task === "masked-lm" ? "own" : "next", options);
}
