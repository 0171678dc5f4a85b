import { fail, failAll } from "../util/fail.ts";
import { firstOf } from "../util/group-lines.ts";
import type { Row } from "./rows.ts";

/** What stands between two cells. */
export type Delimiter = "," | "\t" | ";" | "|";

/**
 * The rows of a table of cells, whose first line names the columns. Cells are texts, columns without a name are left
 * out, and so are blank lines and a byte-order mark. What a cell is goes by Python's `csv` module, as pandas has it too:
 * a row ends with `\n`, `\r\n` or `\r`, whatever the others end with; a cell that begins with `"` goes on to the next
 * single `"`, over line ends too, and `""` in it is a quotation mark; quotation marks elsewhere are text.
 * @param lines with their ends
 * @param label the file, for messages
 * @param delimiter where the first line has none of these, but another one, that is taken
 * @throws LoraError where two columns have one name, or a quotation mark does not end
 */
export function* csvRows(lines: Iterable<string>, label: string, delimiter: Delimiter): Generator<Row> {
  let columns: readonly string[] | undefined;
  let names = "";
  let surplus: number | undefined;
  for (const { line, cells } of csvRecords(lines, label, (first) =>
    chooseDelimiter(first, label, delimiter),
  )) {
    if (columns === undefined) {
      columns = cells;
      names = firstOf(columns);
      checkColumns(columns, label);
      continue;
    }
    // A delimiter at the end of every row makes one empty cell more; at the end of some it may be part of a text.
    surplus ??= cells.length === columns.length + 1 && cells.at(-1) === "" ? 1 : 0;
    const fits = cells.length === columns.length + surplus && (surplus === 0 || cells.at(-1) === "");
    const values = fits ? withNames(columns, cells) : describeLength(cells, columns.length, names);
    yield { line, values };
  }
}

function withNames(columns: readonly string[], cells: readonly string[]): Record<string, string> {
  const entries = columns.map((name, i) => [name, cells[i] as string] as const);
  return Object.fromEntries(entries.filter(([name]) => name !== ""));
}

function describeLength({ length }: readonly string[], columns: number, names: string): string {
  return `has ${length} cells, the first line names ${columns}: ${names} (a cell with a delimiter in it stands in quotation marks)`;
}

function checkColumns(columns: readonly string[], label: string): void {
  const seen = new Set<string>();
  const twice = new Set<string>();
  for (const name of columns) if (name !== "") (seen.has(name) ? twice : seen).add(name);
  const problems = Array.from(twice, (name) => `the column ${name} is there twice`);
  failAll(label, problems, "give each column a name of its own");
}

/** The cells of one row, and the line on which it begins. */
export interface TableRecord {
  readonly line: number;
  readonly cells: readonly string[];
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
  let parser: RowParser | undefined;
  let number = 0;
  let begin: number | undefined;
  for (const raw of lines) {
    const line = number++ === 0 ? raw.replace(/^\uFEFF/, "") : raw;
    if (begin === undefined && withoutEnd(line) === "") continue;
    parser ??= new RowParser(delimiterOf(line));
    begin ??= number;
    const cells = parser.push(line);
    if (parser.size > MAX_ROW_CHARACTERS) {
      fail(`${label}:${begin}`, `has a row of more than ${MAX_ROW_CHARACTERS} characters`, QUOTED);
    }
    if (cells === undefined) continue;
    yield { line: begin, cells };
    begin = undefined;
  }
  if (begin !== undefined) {
    fail(`${label}:${begin}`, "a cell of this row has a quotation mark that does not end", QUOTED);
  }
}

const QUOTED = 'a quotation mark that is text is doubled (""), and its cell stands in quotation marks';

/** Characters of one row, over all its lines. */
const MAX_ROW_CHARACTERS = 2 ** 26;

/** Puts rows together from lines. States and transitions are those of `Modules/_csv.c`, CPython 3.11, not strict. */
class RowParser {
  readonly #delimiter: Delimiter;
  #cells: string[] = [];
  #cell = "";
  #isQuoted = false;
  #size = 0;

  constructor(delimiter: Delimiter) {
    this.#delimiter = delimiter;
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
  const count = (delimiter: Delimiter) => new RowParser(delimiter).push(line)?.length ?? 1;
  if (count(usual) > 1) return usual;
  return DELIMITERS.find((delimiter) => count(delimiter) > 1) ?? usual;
}
