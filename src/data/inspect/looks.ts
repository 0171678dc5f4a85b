import type { Example } from "../rows/examples.ts";
import type { PreferenceRow } from "../rows/preferences.ts";
import { type EncodedPreference, preferenceEncoder } from "../tokenize/encode-preference.ts";
import { type EncodedRow, rowEncoder } from "../tokenize/encode-rows.ts";
import type { RowEncoding } from "../tokenize/row-encoding.ts";
import { DataInspector } from "./inspector.ts";
import { PreferenceInspector } from "./preference-inspector.ts";
import type { FindingKind, Inspector } from "./report.ts";
import { preferenceViewer, type RowView, rowViewer } from "./row-view.ts";

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
