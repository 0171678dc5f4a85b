import { labelTokens } from "../sequence.ts";
import type { EncodedRow } from "./encode-rows.ts";

/** What became of the rows; to be printed before the first step. */
export interface TokenizeReport {
  /** Rows that were given. */
  rows: number;
  /** Rows cut to `maxLength`, of which the start is kept. */
  truncated: number;
  /** Rows cut to `maxLength` at their beginning. */
  cutAtStart: number;
  /** Rows left out because they are longer than `maxLength`. */
  dropped: number;
  /** Rows left out because no label remains, mostly a prompt that fills `maxLength`. */
  droppedNoLabels: number;
  /** Rows left out because their `text` is empty. */
  droppedEmpty: number;
  /** Rows that the template refuses, or of which it leaves open which tokens are whose. */
  refused: number;
  /** Rows of which what is learnt begins within a token: texts are tokenised with what is before them. */
  straddling: number;
  /** Rows of which the last token that is learnt ends neither a text nor a turn: from those alone a model never stops. */
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

/** A report on no rows yet. */
export function emptyReport(): TokenizeReport {
  return {
    rows: 0,
    truncated: 0,
    cutAtStart: 0,
    dropped: 0,
    droppedNoLabels: 0,
    droppedEmpty: 0,
    refused: 0,
    straddling: 0,
    openEnds: 0,
    longest: 0,
    longestIsLeast: false,
    tokens: 0,
    labelTokens: 0,
  };
}

/** Counts what became of a row. */
export function countRow(report: TokenizeReport, row: EncodedRow): void {
  report.rows++;
  if (row.fate === "refused") {
    report.refused++;
    return;
  }
  if (row.fate === "empty") {
    report.droppedEmpty++;
    return;
  }
  const length = row.inputIds.length + row.cut.length;
  report.longestIsLeast ||= row.isLonger;
  report.longest = Math.max(report.longest, length);
  if (row.fate === "too long") {
    report.dropped++;
    return;
  }
  if (row.isCutAtStart) report.cutAtStart++;
  else if (row.cut.length > 0) report.truncated++;
  if (row.fate === "no labels") {
    report.droppedNoLabels++;
    return;
  }
  report.tokens += row.inputIds.length;
  report.labelTokens += labelTokens(row);
  if (row.straddler !== undefined) report.straddling++;
  if (!row.endsTurn) report.openEnds++;
}

/** What to say where no row is left. */
export function nothingLeft({
  rows,
  dropped,
  droppedNoLabels,
  droppedEmpty,
  longest,
}: TokenizeReport): string {
  return (
    `none of the ${rows} rows is left: ${dropped} too long, ${droppedNoLabels} without labels, ` +
    `${droppedEmpty} empty; the longest has ${longest} tokens`
  );
}
