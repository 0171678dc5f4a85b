import { fail } from "../../util/fail.ts";
import { CsvRows, type Delimiter, type TableOptions } from "../rows/csv.ts";
import { JsonRows } from "../rows/json-lines.ts";
import type { Row, RowNamer, RowParser } from "../rows/rows.ts";
import type { DataFile } from "./data-file.ts";
import { isParquet, parquetRows } from "./parquet.ts";
import { PlainTextRows } from "./plain-text.ts";
import { textPieces } from "./text-pieces.ts";
import { isGzip, unpacked } from "./unpack.ts";

/** What the rows of a file are written in. */
export type RowFormat = "json" | "csv" | "tsv" | "txt" | "parquet";

/** The endings of files with rows; each may be followed by `.gz`. */
export const ENDINGS: Readonly<Record<string, RowFormat>> = {
  ".jsonl": "json",
  ".ndjson": "json",
  ".json": "json",
  ".csv": "csv",
  ".tsv": "tsv",
  ".txt": "txt",
  ".parquet": "parquet",
};

/** The rows of a file, which are read while they are taken. */
export interface RowSource {
  readonly format: RowFormat;
  /** In order; no more than one group is in memory. */
  readonly groups: AsyncIterable<Iterable<Row>>;
  readonly nameOf: RowNamer;
}

/**
 * The rows of a file: JSON Lines, a JSON list, a table of cells (CSV, TSV), Parquet or plain text. The content tells
 * Parquet and gzip, which any of the others may be packed with; the ending tells the others apart, and JSON is what has
 * none of theirs.
 * @throws LoraError while it is read where it is cut off, damaged or something else
 */
export async function openRows(file: DataFile, table: TableOptions = {}): Promise<RowSource> {
  const { name } = file;
  const opened = await openBytes(file, table);
  const { format, nameOf } = opened;
  if (format === "parquet") return { format, groups: parquetRows(file), nameOf };
  return { format, groups: parsed(textPieces(opened.bytes, name), parserOf(format, name, table)), nameOf };
}

/** What a file is, and its bytes as they are to be read. */
export type OpenedBytes = { readonly nameOf: RowNamer } & (
  | { readonly format: "parquet" }
  | {
      readonly format: TextFormat;
      /** Unpacked; who does not take them closes them. */
      readonly bytes: AsyncIterable<Uint8Array>;
      readonly isPacked: boolean;
      close(): Promise<void>;
    }
);

type TextFormat = Exclude<RowFormat, "parquet">;

/**
 * What a file is: the content tells Parquet and gzip.
 * @param table what must mean something for it
 */
export async function openBytes(file: DataFile, { header = true }: TableOptions): Promise<OpenedBytes> {
  const { head, pieces, close } = await peek(file.pieces());
  const { name } = file;
  const format = isParquet(head) ? "parquet" : (formatOf(name) ?? "json");
  if (!header && format !== "csv" && format !== "tsv") {
    await close();
    fail(
      name,
      "is no table whose first line could name the columns",
      "leave out --no-header (header: false)",
    );
  }
  if (isParquet(head)) {
    await close();
    return { format: "parquet", nameOf: (row) => `${name}: row ${row}` };
  }
  if (format === "parquet") {
    await close();
    const what = "is no Parquet file: it does not begin with PAR1";
    return fail(name, what, "download or write it again, without gzip around it");
  }
  const isPacked = isGzip(head);
  const bytes = isPacked ? unpacked(name, pieces) : pieces;
  return { format, bytes, isPacked, close, nameOf: (line) => `${name}:${line}` };
}

/** What a file's ending says of its content. */
export function formatOf(name: string): RowFormat | undefined {
  const plain = name.toLowerCase().replace(/\.gz$/, "");
  return ENDINGS[/\.[^./\\]*$/.exec(plain)?.[0] ?? ""];
}

/** What to do where no row of a table can be used: its first line may be a row, and no names. */
export function headerHint(format: RowFormat, header: boolean): string | undefined {
  if (!header || (format !== "csv" && format !== "tsv")) return undefined;
  return "the first line is taken for names of the columns: if it is a row, say so, and what the columns are, by their numbers: --no-header --columns text=0,label=1";
}

function parserOf(format: TextFormat, name: string, table: TableOptions): RowParser {
  if (format === "txt") return new PlainTextRows();
  return format === "json" ? new JsonRows(name) : new CsvRows(name, delimiterOf(format), table);
}

/** What stands between the cells of a table, unless its first line shows another one. */
export function delimiterOf(format: "csv" | "tsv"): Delimiter {
  return format === "tsv" ? "\t" : ",";
}

async function* parsed(pieces: AsyncIterable<string>, parser: RowParser): AsyncGenerator<Iterable<Row>> {
  for await (const piece of pieces) yield parser.push(piece);
  yield parser.end();
}

/** The first piece of some bytes, and all of them; who does not take these closes them. */
async function peek(bytes: AsyncIterable<Uint8Array>) {
  const iterator = bytes[Symbol.asyncIterator]();
  const first = await iterator.next();
  const close = async () => void (await iterator.return?.());
  async function* pieces(): AsyncGenerator<Uint8Array> {
    try {
      for (let next = first; !next.done; next = await iterator.next()) yield next.value;
    } finally {
      await close();
    }
  }
  return { head: first.done ? new Uint8Array() : first.value, pieces: pieces(), close };
}
