import type { Tokenizer } from "../../io/tokenizer/tokenizer.ts";
import { fail, failAll, LoraError, Problems } from "../../util/fail.ts";
import type { Example } from "../rows/examples.ts";
import type { Sequence } from "../sequence.ts";
import { type EncodedRow, encodeRows } from "./encode-rows.ts";
import type { TokenizeFor, TokenizeOptions } from "./tokenize-options.ts";
import { countRow, emptyReport, nothingLeft, type TokenizeReport } from "./tokenize-report.ts";
import { RowCheck } from "./vocabulary.ts";

/** Examples as the model reads them. */
export interface Tokenized {
  readonly sequences: Sequence[];
  /** The place of each one's row among the examples, from 0. */
  readonly places: number[];
  readonly report: TokenizeReport;
}

/**
 * Tokenises examples and decides which tokens give a loss.
 * Rows with an empty `text` (data sets like WikiText are full of them) and rows without any label
 * are left out and counted.
 * @param model what it is for; without it any token is fine, and chats need a template
 * @param onRow told what becomes of each row, also of those that are left out
 * @throws LoraError if nothing remains, or naming the rows that hold a token which the embedding lacks, that the template
 * refuses, or that are no chats where only answers are to be learnt
 */
export function tokenizeExamples(
  examples: readonly Example[],
  tokenizer: Tokenizer,
  options: TokenizeOptions,
  model: TokenizeFor = {},
  onRow: (row: EncodedRow) => void = () => {},
): Tokenized {
  const sequences: Sequence[] = [];
  const places: number[] = [];
  const report = emptyReport();
  const { embeddingRows = Number.POSITIVE_INFINITY } = model;
  const check = new RowCheck({ tokenizer, rows: embeddingRows });
  const refused = new Problems();
  for (const row of encodeRows("tokenizeExamples", examples, tokenizer, options, model)) {
    onRow(row);
    countRow(report, row);
    const { place, fate, inputIds, labels, problem } = row;
    if (problem) refused.push(new LoraError(problem.kind, `row ${place + 1}`, problem));
    if (fate === "kept" || fate === "no labels") check.add(`row ${place + 1}`, inputIds);
    if (fate !== "kept") continue;
    sequences.push({ inputIds, labels });
    places.push(place);
  }
  failAll("tokenizeExamples", refused);
  check.finish("tokenizeExamples");
  if (sequences.length === 0)
    fail("tokenizeExamples", nothingLeft(report), "raise maxLength, or look at the rows");
  return { sequences, places, report };
}
