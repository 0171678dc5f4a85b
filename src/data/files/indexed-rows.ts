import { decodeText } from "../../io/files/text.ts";
import { fail } from "../../util/fail.ts";
import { CsvRows, type TableOptions } from "../rows/csv.ts";
import { parseRow } from "../rows/json-lines.ts";
import type { Row } from "../rows/rows.ts";
import type { DataFile } from "./data-file.ts";
import { parquetRows } from "./parquet.ts";
import { delimiterOf, type OpenedBytes, openBytes, type RowFormat } from "./read-rows.ts";
import { RowIndex, type RowSpan } from "./row-index.ts";
import { findRows, findTextParts } from "./row-spans.ts";
import { failTooLong, MAX_ROW_CHARACTERS } from "./text-pieces.ts";

/** The rows of a file, which are read where they stand when they are wanted. */
export interface IndexedRows {
  readonly format: RowFormat;
  readonly length: number;
  /**
   * The rows at some places, which count from 0, in the order of these.
   * @throws LoraError where the file has changed, or is no UTF-8 there
   */
  read(places: readonly number[]): Promise<Row[]>;
  /** What messages call the row at a place. */
  nameOf(place: number): string;
}

/** Keeps bytes that come in order, so that they can be read at any place. */
export type Spill = (name: string, pieces: AsyncIterable<Uint8Array>) => Promise<DataFile>;

/**
 * Finds the rows of a file, and no more: of what they hold nothing stays in memory. What cannot be read at any place (gzip, a pipe,
 * Parquet, whose pages hold many rows) is unpacked first.
 * @param spill where to
 * @throws LoraError where the file is cut off, damaged or something else, or changes meanwhile
 */
export async function indexRows(
  file: DataFile,
  spill: Spill,
  { header = true }: TableOptions = {},
): Promise<IndexedRows> {
  const { name } = file;
  const opened = await openBytes(file, { header });
  const stored = await storedBytes(file, opened, spill);
  const { format } = opened;
  const index = new RowIndex();
  if (format === "txt") await findTextParts(stored.pieces(), name, index);
  else {
    const isTable = format === "csv" || format === "tsv";
    await findRows(stored.pieces(), name, isTable ? delimiterOf(format) : "json", index);
  }
  await stored.read([]); // is it still the same?
  const read = spanReader(stored, name);
  const isNamed = header && (format === "csv" || format === "tsv");
  const first = isNamed ? 1 : 0; // of the rows that were found the first that is one
  const parse = await parserOf(format, name, header, { index, read });
  return {
    format,
    length: Math.max(0, index.length - first),
    nameOf: (place) => opened.nameOf(index.lineOf(place + first)),
    async read(places) {
      const spans = places.map((place) => index.at(place + first));
      const texts = await read(spans);
      return texts.map((text, i) => ({ line: (spans[i] as RowSpan).line, values: parse(text) }));
    },
  };
}

/** The file itself, or what has been unpacked of it. */
async function storedBytes(file: DataFile, opened: OpenedBytes, spill: Spill): Promise<DataFile> {
  if (opened.format === "parquet") return spill(file.name, jsonLines(file, parquetRows(file)));
  if (opened.isPacked || file.size === undefined) return spill(file.name, opened.bytes);
  await opened.close();
  return file;
}

/** Characters of rows that become bytes together. */
const WRITTEN_AT_ONCE = 2 ** 20;
/** From here on what a table becomes is looked at for being a bomb: one text may be that of a million rows. */
const TRUSTED_BYTES = 2 ** 26;
/** How many times smaller Parquet makes rows: those of the most monotonous tables some hundred times. */
const MAX_RATIO = 1000;

/** Rows of a table as JSON Lines. @throws LoraError where rows, or one of them, become more than anybody wrote */
export async function* jsonLines(
  { name, size = 0 }: Pick<DataFile, "name" | "size">,
  groups: AsyncIterable<readonly Row[]>,
): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  const most = Math.max(TRUSTED_BYTES, MAX_RATIO * size);
  let written = 0;
  let text = "";
  const encoded = () => {
    const bytes = encoder.encode(text);
    text = "";
    written += bytes.length;
    if (written > most) {
      fail(
        name,
        `becomes more than ${most} bytes of text, ${MAX_RATIO} times its size`,
        "look at it: its rows repeat the same texts; write it as JSON Lines if it is meant",
      );
    }
    return bytes;
  };
  for await (const rows of groups) {
    for (const { line, values } of rows) {
      const row = JSON.stringify(values);
      if (row.length > MAX_ROW_CHARACTERS) failTooLong(`${name}: row ${line}`);
      text += `${row}\n`;
      if (text.length >= WRITTEN_AT_ONCE) yield encoded();
    }
  }
  if (text !== "") yield encoded();
}

function spanReader(file: DataFile, name: string): (spans: readonly RowSpan[]) => Promise<string[]> {
  return async (spans) => {
    const parts = await file.read(spans);
    return parts.map((bytes, i) =>
      decodeText(bytes, name, { line: (spans[i] as RowSpan).line, isStart: false }),
    );
  };
}

type ParsedValues = Row["values"];

/** What makes a row of its text. */
async function parserOf(
  format: RowFormat,
  name: string,
  header: boolean,
  { index, read }: { index: RowIndex; read: (spans: readonly RowSpan[]) => Promise<string[]> },
): Promise<(text: string) => ParsedValues> {
  if (format === "txt") return (text) => ({ text });
  if (format !== "csv" && format !== "tsv") return parseRow;
  const rows = new CsvRows(name, delimiterOf(format), { header });
  const parse = (text: string) => {
    const [row] = rows.push(/[\r\n]$/.test(text) ? text : `${text}\n`);
    return row?.values ?? "has no cells";
  };
  // The names of the columns come first, and the first row settles whether rows end with a delimiter.
  const begin = Array.from({ length: Math.min(2, index.length) }, (_, place) => index.at(place));
  for (const text of await read(begin)) parse(text);
  return parse;
}
