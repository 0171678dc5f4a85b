import { describeData } from "../../src/cli/format.ts";
import { describeRow } from "../../src/cli/inspect/text.ts";
import { rowViewer } from "../../src/data/inspect/row-view.ts";
import type { Example } from "../../src/data/rows/examples.ts";
import { encodeRows } from "../../src/data/tokenize/encode-rows.ts";
import { tokenizeExamples } from "../../src/data/tokenize/tokenize.ts";
import { defaultMaxLength } from "../../src/data/tokenize/tokenize-options.ts";
import type { Model } from "../../src/index.node.ts";
import { requireTokenizer } from "../../src/load/model.ts";

/** What the model reads of rows, as `webgpu-lora inspect` says it: how much, and the tokens of the first row. */
export function describeRows(model: Model, rows: readonly [Example, ...Example[]]): string[] {
  const tokenizer = requireTokenizer(model);
  const maxLength = defaultMaxLength(model.config.maxPositions);
  const { report } = tokenizeExamples(rows, tokenizer, { maxLength }, model);
  const view = rowViewer(tokenizer);
  const shown = [...encodeRows("demo", rows.slice(0, 1), tokenizer, { maxLength }, model)].flatMap((row) =>
    describeRow(view(row, "row 1", []), false),
  );
  const lines = shown.map((line) => line.map(({ text }) => text).join(""));
  return [...describeData("examples", report, maxLength), ...lines];
}
