import { decodeText } from "../../io/files/text.ts";
import { type Delimiter, TableRecords } from "../rows/csv.ts";
import { failNoJson, type JsonShape, jsonShape } from "../rows/json-lines.ts";
import { JsonSplitter } from "./json-values.ts";
import { TextParts } from "./plain-text.ts";
import type { RowIndex } from "./row-index.ts";
import { concat, failTooLong, MAX_ROW_CHARACTERS, textPieces } from "./text-pieces.ts";

/** Finds where rows stand in bytes that come in pieces. What a row holds is not looked at. */
interface SpanFinder {
  push(bytes: Uint8Array): void;
  /** @throws LoraError where the file is cut off, or something else */
  end(): void;
}

const BOM = [0xef, 0xbb, 0xbf];
/** Bytes at the beginning of a file that are looked at for what it is. */
const HEAD_BYTES = 2 ** 17;

/**
 * Finds the rows of text that is no plain text: those that reading it from its beginning on gives, row for row.
 * @param name the file, for messages
 * @throws LoraError where it is cut off, or something else
 */
export async function findRows(
  pieces: AsyncIterable<Uint8Array>,
  name: string,
  format: "json" | Delimiter,
  index: RowIndex,
): Promise<void> {
  let head: Uint8Array = new Uint8Array();
  let finder: SpanFinder | undefined;
  const begin = (isAll: boolean) => {
    const from = BOM.every((byte, i) => head[i] === byte) ? BOM.length : 0;
    const isShort = isAll && head.length <= HEAD_BYTES;
    decodeText(wholeCharacters(head.subarray(0, HEAD_BYTES), isShort), name); // says what else it is
    finder = finderOf(head.subarray(from), isAll, { name, format, index, from });
    finder?.push(head.subarray(from));
  };
  for await (const piece of pieces) {
    if (finder) finder.push(piece);
    else {
      head = head.length === 0 ? piece : concat(head, piece);
      if (head.length >= HEAD_BYTES) begin(false);
    }
  }
  if (!finder) begin(true);
  finder?.end();
}

/** The rows of plain text: parts of whole lines, of as many characters wherever they are read. */
export async function findTextParts(
  pieces: AsyncIterable<Uint8Array>,
  name: string,
  index: RowIndex,
): Promise<void> {
  const parts = new TextParts();
  const encoder = new TextEncoder();
  let at: number | undefined;
  const add = (found: ReturnType<TextParts["push"]>) => {
    for (const { text, line } of found) {
      const start = at ?? 0;
      at = start + encoder.encode(text).length;
      if (text.trim() !== "") index.push(line, start, at);
    }
  };
  for await (const piece of textPieces(pieces, name)) {
    at ??= piece.startsWith("\uFEFF") ? BOM.length : 0;
    add(parts.push(piece));
  }
  add(parts.end());
}

interface Found {
  readonly name: string;
  readonly format: "json" | Delimiter;
  readonly index: RowIndex;
  /** Bytes before the first that is given. */
  readonly from: number;
}

function finderOf(head: Uint8Array, isAll: boolean, found: Found): SpanFinder {
  const { name, format } = found;
  if (format !== "json") return tableFinder(found, format);
  const shape: JsonShape = jsonShape(latin1(head), isAll) ?? "lines";
  return shape === "lines" ? new LineFinder(found) : valueFinder(found, shape === "list", name);
}

/** One character for each byte, so that places in the text are places in the file. What marks rows is ASCII, which stays. */
function latin1(bytes: Uint8Array): string {
  return new TextDecoder("latin1").decode(bytes);
}

function valueFinder({ index, from }: Found, isList: boolean, name: string): SpanFinder {
  const splitter = new JsonSplitter(name, isList);
  return {
    push(bytes) {
      for (const { text, line, end } of splitter.push(latin1(bytes))) {
        index.push(line, from + end - text.length, from + end);
      }
    },
    end: () => splitter.end(),
  };
}

/** Finds the first row, too, which names the columns. */
function tableFinder({ name, index, from }: Found, delimiter: Delimiter): SpanFinder {
  const records = new TableRecords(name, delimiter);
  const add = (found: ReturnType<TableRecords["push"]>) => {
    for (const { line, start, end } of found) index.push(line, from + start, from + end);
  };
  let open = "";
  return {
    push(bytes) {
      const text = open + latin1(bytes);
      open = text.endsWith("\r") ? "\r" : ""; // a line feed may follow
      add(records.push(open === "" ? text : text.slice(0, -1)));
    },
    end() {
      if (open !== "") add(records.push(open));
      add(records.end());
    },
  };
}

const [TAB, NEWLINE, RETURN, SPACE, BRACE] = [0x09, 0x0a, 0x0d, 0x20, 0x7b];

/** Bytes of the first line that a message may show. */
const FIRST_BYTES = 512;

/** Finds lines that are not blank. It goes over the bytes themselves, from line end to line end: most large files are JSON Lines. */
class LineFinder implements SpanFinder {
  readonly #found: Found;
  /** Where the piece, and where the line begins. */
  #at: number;
  #start: number;
  #line = 1;
  #isBlank = true;
  #first: Uint8Array | undefined;
  #looksLikeJson = false;
  #wasReturn = false;

  constructor(found: Found) {
    this.#found = found;
    this.#at = found.from;
    this.#start = found.from;
  }

  push(bytes: Uint8Array): void {
    let at = 0;
    for (const end of lineEnds(bytes)) {
      this.#look(bytes, at, end);
      const isReturn = bytes[end] === RETURN;
      if (!isReturn && this.#wasReturn && this.#at + end === this.#start) this.#start++;
      else this.#endLine(this.#at + end + 1);
      this.#wasReturn = isReturn;
      at = end + 1;
    }
    this.#look(bytes, at, bytes.length);
    this.#at += bytes.length;
    if (this.#at - this.#start > 4 * MAX_ROW_CHARACTERS) failTooLong(`${this.#found.name}:${this.#line}`);
  }

  end(): void {
    if (this.#start < this.#at) this.#endLine(this.#at);
    if (this.#first === undefined || this.#looksLikeJson) return;
    const [first = ""] = new TextDecoder().decode(this.#first).split(/[\r\n]/);
    failNoJson(first.trim(), this.#found.name);
  }

  /** Looks at a part of a line for its first byte that is no blank. */
  #look(bytes: Uint8Array, start: number, end: number): void {
    if (!this.#isBlank) return;
    let at = start;
    while (at < end && (bytes[at] === SPACE || bytes[at] === TAB)) at++;
    if (at === end) return;
    this.#isBlank = false;
    this.#first ??= bytes.slice(at, at + FIRST_BYTES);
    this.#looksLikeJson ||= bytes[at] === BRACE;
  }

  #endLine(next: number): void {
    if (!this.#isBlank) this.#found.index.push(this.#line, this.#start, next);
    this.#line++;
    this.#start = next;
    this.#isBlank = true;
  }
}

/** Where `\n` and `\r` stand, in order. The engine looks for them far faster than a loop over the bytes does. */
function* lineEnds(bytes: Uint8Array): Generator<number> {
  let newline = bytes.indexOf(NEWLINE);
  let carriage = bytes.indexOf(RETURN);
  while (newline >= 0 || carriage >= 0) {
    if (carriage < 0 || (newline >= 0 && newline < carriage)) {
      yield newline;
      newline = bytes.indexOf(NEWLINE, newline + 1);
    } else {
      yield carriage;
      carriage = bytes.indexOf(RETURN, carriage + 1);
    }
  }
}

/** The bytes without a character at their end that goes on. */
function wholeCharacters(bytes: Uint8Array, isAll: boolean): Uint8Array {
  if (isAll) return bytes;
  let end = bytes.length;
  while (end > 0 && (bytes[end - 1] as number) >= 0x80) end--;
  return bytes.subarray(0, end);
}
