import type { TokenizeReport } from "../tokenize/tokenize-report.ts";
import type { Lengths } from "./lengths.ts";

/** What can be found. */
export type FindingKind =
  | "nothing-trained"
  | "no-end"
  | "open-end"
  | "double-bos"
  | "cut-before"
  | "no-labels"
  | "lost-role"
  | "none-content"
  | "refused"
  | "unknown-token"
  | "cut"
  | "too-long"
  | "empty"
  | "near-empty"
  | "seam"
  | "duplicate"
  | "overlap"
  | "conflict"
  | "missing-label"
  | "rare-label"
  | "one-label"
  | "unread-word"
  | "equal-pair"
  | "shared-text"
  | "equal-answers";

/** Something about rows that deserves attention, or that makes training useless. */
export interface Finding {
  /** Of errors a model learns nothing, or the wrong thing. */
  readonly level: "error" | "warning";
  /** Its name, for programs. */
  readonly kind: FindingKind;
  /** How many rows it is about. */
  readonly rows: number;
  /** What it is, in a sentence that names no row. */
  readonly message: string;
  /** What can be done. */
  readonly help: string;
  /** The first of these rows, as messages call them. */
  readonly examples: readonly string[];
}

/** What became of rows, whatever is learnt from them. */
export type RowCounts = Pick<
  TokenizeReport,
  | "rows"
  | "truncated"
  | "dropped"
  | "droppedNoLabels"
  | "droppedEmpty"
  | "refused"
  | "longest"
  | "longestIsLeast"
  | "tokens"
>;

/** What rows are as a model reads them; plain JSON. */
export interface RowsReport extends RowCounts {
  /** Tokens that a row has at most. */
  readonly maxLength: number;
  /** Tokens of the rows before any cut. */
  readonly lengths: Lengths;
  /** The longest row, as messages call it; absent where no row has a token. */
  readonly longestRow?: string;
  /** Errors first. */
  readonly findings: readonly Finding[];
}

/** How many rows, or words, have a class. */
export interface LabelCount {
  readonly name: string;
  readonly count: number;
}

/** The same of rows of tasks that are no language modelling. */
export interface TaskReport extends RowsReport {
  /** The classes of the head, in order; absent where there are none. */
  readonly labels?: readonly LabelCount[];
}

/** How long the answers of one kind are. */
export interface AnswerCount {
  /** Such as `chosen`. */
  readonly name: string;
  readonly count: number;
  /** Tokens that are learnt, on the average. */
  readonly mean: number;
}

/** The same of rows that say which answers are better. */
export interface PreferenceReport extends RowsReport {
  /** Kept tokens that are of answers. */
  readonly labelTokens: number;
  readonly answers: readonly AnswerCount[];
  /** Pairs of which the chosen answer is the longer one. */
  readonly longerChosen: number;
}

/** The same of rows of language modelling. */
export interface DataReport extends RowsReport, TokenizeReport {}

/** A report on rows of any kind. */
export type AnyReport = RowsReport & Partial<DataReport> & Partial<TaskReport> & Partial<PreferenceReport>;

/** Looks at rows one after the other, and says what deserves attention. */
export interface Inspector<Row, Report extends RowsReport = RowsReport> {
  /** A key for each row so far; rows that are equal to a model have equal keys. */
  readonly keys: ReadonlySet<number>;
  /** Takes the next row; gives what it is noted for. */
  add(row: Row): readonly FindingKind[];
  /** @param nameOf what messages call a row, by its place */
  report(nameOf: (place: number) => string): Report;
}
