import type { Row, RowParser } from "../rows/rows.ts";

/** Characters of a row, about: far more than a window has tokens. */
const ROW_CHARACTERS = 2 ** 16;

/**
 * A plain text as rows with `text`, of whole lines wherever it has lines: texts that go on in each other, to be cut into
 * windows of tokens. None is empty or blank.
 */
export class PlainTextRows implements RowParser {
  readonly #parts = new TextParts();

  *push(piece: string): Generator<Row> {
    yield* rowsOf(this.#parts.push(piece));
  }

  *end(): Generator<Row> {
    yield* rowsOf(this.#parts.end());
  }
}

function* rowsOf(parts: Iterable<TextPart>): Generator<Row> {
  for (const { text, line } of parts) if (text.trim() !== "") yield { line, values: { text } };
}

/** A part of a text, and the line on which it begins. */
export interface TextPart {
  readonly text: string;
  readonly line: number;
}

/** Cuts a text that comes in pieces into parts, which together are all of it but for the byte-order mark. */
export class TextParts {
  #begun = "";
  #line = 1;
  #isStart = true;

  *push(piece: string): Generator<TextPart> {
    this.#begun += this.#isStart ? piece.replace(/^\uFEFF/, "") : piece;
    this.#isStart = false;
    while (this.#begun.length >= 1.5 * ROW_CHARACTERS) yield this.#part(cutAt(this.#begun));
  }

  *end(): Generator<TextPart> {
    if (this.#begun !== "") yield this.#part(this.#begun.length);
  }

  #part(end: number): TextPart {
    const part = { text: this.#begun.slice(0, end), line: this.#line };
    this.#line += part.text.match(/\r\n?|\n/g)?.length ?? 0;
    this.#begun = this.#begun.slice(end);
    return part;
  }
}

/** Behind the last line end, else the last blank, that is near enough; else between two characters. */
function cutAt(text: string): number {
  const start = text.slice(0, ROW_CHARACTERS);
  const line = start.lastIndexOf("\n") + 1;
  const blank = start.lastIndexOf(" ");
  const at = line > 0 ? line : blank > 0 ? blank : ROW_CHARACTERS;
  const isHalf = (text.charCodeAt(at - 1) & 0xfc00) === 0xd800; // a surrogate pair stays together
  return isHalf ? at + 1 : at;
}
