import { checkColumnsKnown, withColumns } from "../rows/columns.ts";
import { collectPlacedRows, type RowReader } from "../rows/rows.ts";
import { describeSkipped } from "../rows/skipped.ts";
import type { DataFile } from "./data-file.ts";
import { headerHint, openRows } from "./read-rows.ts";

/** How the rows of a file are read. */
export interface ReadOptions {
  /** The column for each name that is known, where it has another one: `{ prompt: "question" }`. */
  readonly columns?: Readonly<Record<string, string>>;
  /** What a row is that cannot be used: an `error` (unless given), or left out. */
  readonly onBadRow?: "error" | "skip";
  /** Whether the first line of a table of cells names its columns, which are 0, 1 … otherwise; so unless given. */
  readonly header?: boolean;
}

/** The rows of a file, in memory. */
export interface FileRows<R> {
  /** In the order of the file. */
  readonly rows: readonly R[];
  /** Whether they are parts of a plain text, which go on in each other. */
  readonly isPlainText: boolean;
  /** What was left out, and which kinds of rows there are, in lines. */
  readonly notes: readonly string[];
  /** What messages call a row, by its place from 0: its file and line, mostly. */
  nameOf(place: number): string;
}

/**
 * All rows of a file, as a reader takes them.
 * @throws LoraError naming every row that cannot be used, or saying that the file has none, is cut off or damaged
 */
export async function readFileRows<R extends object>(
  file: DataFile,
  reader: RowReader<R>,
  { columns = {}, onBadRow = "error", header = true }: ReadOptions = {},
): Promise<FileRows<R>> {
  checkColumnsKnown(header, columns);
  const { format, groups, nameOf } = await openRows(file, { header });
  const hint = headerHint(format, header);
  const renamed = withColumns(reader, columns);
  const options = { nameOf, onBadRow, ...(hint !== undefined && { hint }) };
  const { items, lines, skipped } = await collectPlacedRows(groups, file.name, renamed, options);
  return {
    rows: items,
    isPlainText: format === "txt",
    nameOf: (place) => nameOf(lines[place] as number),
    notes: [...(reader.notes?.() ?? []), ...describeSkipped(skipped)],
  };
}
