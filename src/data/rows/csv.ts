import { fail, failAll } from "../../util/fail.ts";
import { firstOf } from "../../util/group-lines.ts";
import { LineJoiner, MAX_ROW_CHARACTERS } from "../files/text-pieces.ts";
import type { Row, RowParser } from "./rows.ts";

/** What stands between two cells. */
export type Delimiter = "," | "\t" | ";" | "|";

/** What is said of a table of cells. */
export interface TableOptions {
  /** Whether its first line names the columns; so unless given. */
  readonly header?: boolean;
}

/**
 * The rows of a table of cells, whose first line names the columns; else these are called 0, 1 and so on. Cells are
 * texts, columns without a name are left out, and so are blank lines and a byte-order mark. What a cell is goes by
 * Python's `csv` module, as pandas has it too:
 * a row ends with `\n`, `\r\n` or `\r`, whatever the others end with; a cell that begins with `"` goes on to the next
 * single `"`, over line ends too, and `""` in it is a quotation mark; quotation marks elsewhere are text.
 * @param lines with their ends
 * @param label the file, for messages
 * @param delimiter where the first line has none of these, but another one, that is taken
 * @throws LoraError where two columns have one name, or a quotation mark does not end
 */
export function* csvRows(
  lines: Iterable<string>,
  label: string,
  delimiter: Delimiter,
  { header = true }: TableOptions = {},
): Generator<Row> {
  const parser = new CsvRows(label, delimiter, { header });
  for (const line of lines) yield* parser.push(line);
  yield* parser.end();
}

/** The rows of a table of cells that comes in pieces. */
export class CsvRows implements RowParser {
  readonly #label: string;
  readonly #records: TableRecords;
  readonly #hasHeader: boolean;
  #columns: readonly string[] | undefined;
  /** What the first line says of them, for messages. */
  #wanted = "";
  #surplus: number | undefined;

  constructor(label: string, delimiter: Delimiter, { header = true }: TableOptions = {}) {
    this.#label = label;
    this.#records = new TableRecords(label, delimiter);
    this.#hasHeader = header;
  }

  *push(piece: string): Generator<Row> {
    for (const record of this.#records.push(piece)) yield* this.#row(record);
  }

  *end(): Generator<Row> {
    for (const record of this.#records.end()) yield* this.#row(record);
  }

  *#row({ line, cells }: TableRecord): Generator<Row> {
    if (this.#columns === undefined) {
      this.#begin(cells);
      if (this.#hasHeader) return;
    }
    const columns = this.#columns as readonly string[];
    // A delimiter at the end of every row makes one empty cell more; at the end of some it may be part of a text.
    this.#surplus ??= cells.length === columns.length + 1 && cells.at(-1) === "" ? 1 : 0;
    const fits =
      cells.length === columns.length + this.#surplus && (this.#surplus === 0 || cells.at(-1) === "");
    const values = fits ? withNames(columns, cells) : describeLength(cells, this.#wanted);
    yield { line, values };
  }

  #begin(cells: readonly string[]): void {
    const { length } = cells;
    this.#columns = this.#hasHeader ? cells : cells.map((_, i) => String(i));
    this.#wanted = this.#hasHeader ? `names ${length}: ${firstOf(cells)}` : `has ${length}`;
    checkColumns(this.#columns, this.#label);
  }
}

function withNames(columns: readonly string[], cells: readonly string[]): Record<string, string> {
  const entries = columns.map((name, i) => [name, cells[i] as string] as const);
  return Object.fromEntries(entries.filter(([name]) => name !== ""));
}

function describeLength({ length }: readonly string[], wanted: string): string {
  return `has ${length} cells, the first line ${wanted} (a cell with a delimiter in it stands in quotation marks)`;
}

function checkColumns(columns: readonly string[], label: string): void {
  const seen = new Set<string>();
  const twice = new Set<string>();
  for (const name of columns) if (name !== "") (seen.has(name) ? twice : seen).add(name);
  const problems = Array.from(twice, (name) => `the column ${name} is there twice`);
  failAll(label, problems, "give each column a name of its own");
}

/** The cells of one row, and where it stands. */
export interface TableRecord {
  /** On which it begins. */
  readonly line: number;
  readonly cells: readonly string[];
  /** Characters of the table before it, and until its end. */
  readonly start: number;
  readonly end: number;
}

/**
 * The rows of a table without their meaning; lines without any character are skipped.
 * @param delimiterOf called with the first row's first line
 */
export function* csvRecords(
  lines: Iterable<string>,
  label: string,
  delimiterOf: (line: string) => Delimiter,
): Generator<TableRecord> {
  const joiner = new RecordJoiner(label, delimiterOf);
  for (const line of lines) {
    const record = joiner.push(line);
    if (record) yield record;
  }
  joiner.end();
}

/** The rows of a table that comes in pieces, without their meaning. */
export class TableRecords {
  readonly #lines: LineJoiner;
  readonly #records: RecordJoiner;

  constructor(label: string, delimiter: Delimiter) {
    this.#lines = new LineJoiner(label);
    this.#records = new RecordJoiner(label, (first) => chooseDelimiter(first, label, delimiter));
  }

  *push(piece: string): Generator<TableRecord> {
    for (const line of this.#lines.push(piece)) yield* this.#ended(line);
  }

  *end(): Generator<TableRecord> {
    for (const line of this.#lines.end()) yield* this.#ended(line);
    this.#records.end();
  }

  *#ended(line: string): Generator<TableRecord> {
    const record = this.#records.push(line);
    if (record) yield record;
  }
}

/** Puts the rows of a table together from its lines, and counts these. */
class RecordJoiner {
  readonly #label: string;
  readonly #delimiterOf: (line: string) => Delimiter;
  #cells: CellJoiner | undefined;
  #number = 0;
  #at = 0;
  #begin: { readonly line: number; readonly start: number } | undefined;

  constructor(label: string, delimiterOf: (line: string) => Delimiter) {
    this.#label = label;
    this.#delimiterOf = delimiterOf;
  }

  /** The row that ends with this line, if one does. */
  push(raw: string): TableRecord | undefined {
    const line = this.#number++ === 0 ? raw.replace(/^\uFEFF/, "") : raw;
    const start = this.#at;
    this.#at += raw.length;
    if (this.#begin === undefined && withoutEnd(line) === "") return undefined;
    this.#cells ??= new CellJoiner(this.#delimiterOf(line), this.#label);
    this.#begin ??= { line: this.#number, start };
    const begin = this.#begin;
    const cells = this.#cells.push(line);
    if (this.#cells.size > MAX_ROW_CHARACTERS) {
      fail(`${this.#label}:${begin.line}`, `has a row of more than ${MAX_ROW_CHARACTERS} characters`, QUOTED);
    }
    if (cells === undefined) return undefined;
    this.#begin = undefined;
    return { ...begin, cells, end: this.#at };
  }

  end(): void {
    if (this.#begin === undefined) return;
    const what = "a cell of this row has a quotation mark that does not end";
    fail(`${this.#label}:${this.#begin.line}`, what, QUOTED);
  }
}

/** Cells of a row: pandas writes a table of a million columns, and nothing is learnt of one. */
const MOST_CELLS = 2 ** 21;

const QUOTED = 'a quotation mark that is text is doubled (""), and its cell stands in quotation marks';

/** Puts rows together from lines. States and transitions are those of `Modules/_csv.c`, CPython 3.11, not strict. */
class CellJoiner {
  readonly #delimiter: Delimiter;
  readonly #label: string;
  #cells: string[] = [];
  #cell = "";
  #isQuoted = false;
  #size = 0;

  /** @param label the file, for messages */
  constructor(delimiter: Delimiter, label: string) {
    this.#delimiter = delimiter;
    this.#label = label;
  }

  /** Characters of the row that is under way, or that has just ended. */
  get size(): number {
    return this.#size;
  }

  /** Takes the next line with its end; gives the cells of the row that ends with it, if one does. */
  push(line: string): string[] | undefined {
    if (this.#cells.length === 0 && !this.#isQuoted) this.#size = 0;
    this.#size += line.length;
    const content = withoutEnd(line);
    let at = this.#isQuoted ? 0 : this.#open(content, 0);
    while (this.#isQuoted || at <= content.length) {
      if (this.#isQuoted) {
        const quote = line.indexOf('"', at);
        this.#cell += line.slice(at, quote < 0 ? undefined : quote);
        if (quote < 0) return undefined;
        const isDoubled = line[quote + 1] === '"';
        if (isDoubled) this.#cell += '"';
        this.#isQuoted = isDoubled;
        at = quote + (isDoubled ? 2 : 1);
      } else {
        const next = content.indexOf(this.#delimiter, at);
        this.#cells.push(this.#cell + content.slice(at, next < 0 ? undefined : next));
        this.#cell = "";
        if (this.#cells.length > MOST_CELLS) {
          fail(
            this.#label,
            `has a row of more than ${MOST_CELLS} cells`,
            "give the columns that are learnt, and no others",
          );
        }
        at = next < 0 ? content.length + 1 : this.#open(content, next + 1);
      }
    }
    const cells = this.#cells;
    this.#cells = [];
    return cells;
  }

  /** Begins a cell; gives the offset of its text. */
  #open(content: string, at: number): number {
    this.#isQuoted = content[at] === '"';
    return this.#isQuoted ? at + 1 : at;
  }
}

function withoutEnd(line: string): string {
  return line.replace(/\r?\n$|\r$/, "");
}

/** Programs write `;` and `|` into files called .csv as well. */
const DELIMITERS = [",", "\t", ";", "|"] as const;

/** The usual delimiter, unless the line that names the columns has none of it, but another. */
function chooseDelimiter(line: string, label: string, usual: Delimiter): Delimiter {
  if (/^sep=.\s*$/i.test(line)) {
    fail(`${label}:1`, `is ${JSON.stringify(line.trim())}, a hint for Excel`, "take this line out");
  }
  const count = (delimiter: Delimiter) => new CellJoiner(delimiter, label).push(line)?.length ?? 1;
  if (count(usual) > 1) return usual;
  return DELIMITERS.find((delimiter) => count(delimiter) > 1) ?? usual;
}
