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
  | "refused"
  | "unknown-token"
  | "cut"
  | "too-long"
  | "empty"
  | "near-empty"
  | "seam"
  | "duplicate"
  | "overlap";

/** Something about rows that deserves attention, or that makes training useless. */
export interface Finding {
  /** Of errors a model learns nothing, or the wrong thing. */
  readonly level: "error" | "warning";
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

/** What rows are as a model reads them; plain JSON. */
export interface DataReport extends TokenizeReport {
  /** Tokens that a row has at most. */
  readonly maxLength: number;
  /** Tokens of the rows before any cut. */
  readonly lengths: Lengths;
  /** The longest row, as messages call it; absent where no row has a token. */
  readonly longestRow?: string;
  /** Errors first. */
  readonly findings: readonly Finding[];
}
