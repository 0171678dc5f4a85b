import type { RowList } from "../../data/inspect/inspect-rows.ts";
import type { RowsReport } from "../../data/inspect/report.ts";

/** Rows that are in memory, and what messages call all of them. */
export interface NamedRows<Row> extends RowList<Row> {
  readonly path: string;
}

/** What rows came to. */
export interface PreparedItems<Item, Report extends RowsReport = RowsReport> {
  readonly items: readonly Item[];
  /** The place of each item's row, from 0: some rows are left out. */
  readonly places: readonly number[];
  /** Tokens that an item has at most. */
  readonly maxLength: number;
  /** A key for each row; rows that are equal to a model have equal keys. */
  readonly keys: ReadonlySet<number>;
  readonly report: Report;
}

/** How rows are made items, beside what the model reads of them. */
export interface PrepareSettings<Report extends RowsReport> {
  /** Keys of rows that the model is judged by, which should not be among these. */
  readonly judged?: ReadonlySet<number> | undefined;
  /** Told what became of all rows, before those are refused that hold tokens which the model lacks. */
  readonly onReport?: ((report: Report) => void) | undefined;
}
