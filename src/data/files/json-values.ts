import { fail } from "../../util/fail.ts";
import { MAX_ROW_CHARACTERS } from "./text-pieces.ts";

/** A JSON value as it stands in a text, and the line on which it begins. */
export interface JsonPart {
  readonly text: string;
  readonly line: number;
  /** Characters of the whole text until the end of this one. */
  readonly end: number;
}

const [QUOTE, BACKSLASH, COMMA, RETURN, NEWLINE] = [0x22, 0x5c, 0x2c, 0x0d, 0x0a];
const [SPACE, TAB] = [0x20, 0x09];
const [OPEN_LIST, OPEN_OBJECT, CLOSE_LIST, CLOSE_OBJECT] = [0x5b, 0x7b, 0x5d, 0x7d];

/**
 * Cuts JSON that comes in pieces into the items of its one list, or into the objects that stand one after another, over
 * as many lines as they like. What a part holds is not looked at, but for its strings and brackets.
 */
export class JsonSplitter {
  readonly #label: string;
  readonly #isList: boolean;
  #depth = 0;
  #isInString = false;
  #isEscaped = false;
  #line = 1;
  /** The part so far, and the line of its first character that is no blank. */
  #begun: string[] = [];
  #size = 0;
  #beginLine: number | undefined;
  #parts = 0;
  #isOver = false;
  /** Characters of the pieces before. */
  #before = 0;

  /** @param isList whether it is one list, or objects one after another */
  constructor(label: string, isList: boolean) {
    this.#label = label;
    this.#isList = isList;
  }

  /**
   * The parts that end in this piece.
   * @throws LoraError where a part is longer than a row can be, or something follows the list
   */
  *push(piece: string): Generator<JsonPart> {
    let start = 0;
    for (let at = 0; at < piece.length; at++) {
      const code = piece.charCodeAt(at);
      if (code === NEWLINE || (code === RETURN && piece.charCodeAt(at + 1) !== NEWLINE)) this.#line++;
      if (this.#isInString) {
        if (this.#isEscaped) this.#isEscaped = false;
        else if (code === BACKSLASH) this.#isEscaped = true;
        else if (code === QUOTE) this.#isInString = false;
        continue;
      }
      if (isBlank(code)) continue;
      if (this.#isOver) failGoesOn(`${this.#label}:${this.#line}`);
      if (this.#isList && this.#depth === 0) {
        this.#depth = 1; // the bracket that opens the list
        start = at + 1;
        continue;
      }
      const ended = this.#take(code);
      if (ended === undefined) continue;
      const end = ended === "with" ? at + 1 : at;
      yield* this.#part(piece.slice(start, end), this.#before + end);
      start = at + 1;
    }
    this.#keep(piece.slice(start));
    this.#before += piece.length;
  }

  /** @throws LoraError where the list, or an object, does not end */
  end(): void {
    const isCut = this.#isList ? !this.#isOver : this.#beginLine !== undefined;
    if (!isCut) return;
    const what = this.#isList ? "the JSON list does not end" : "the JSON object does not end";
    fail(`${this.#label}:${this.#beginLine ?? this.#line}`, `${what}: the file is cut off`, "copy it again");
  }

  /** Takes a character outside of strings; whether a part ends with it or before it. */
  #take(code: number): "with" | "before" | undefined {
    const outside = this.#isList ? 1 : 0;
    const isSeparator = this.#isList && this.#depth === 1 && (code === COMMA || code === CLOSE_LIST);
    if (!isSeparator) this.#beginLine ??= this.#line;
    if (code === QUOTE) this.#isInString = true;
    else if (code === OPEN_LIST || code === OPEN_OBJECT) this.#depth++;
    else if (isSeparator) {
      this.#isOver = code === CLOSE_LIST;
      return "before";
    } else if ((code === CLOSE_LIST || code === CLOSE_OBJECT) && this.#depth > outside) {
      this.#depth--;
      if (!this.#isList && this.#depth === 0) return "with";
    }
    return undefined;
  }

  *#part(rest: string, end: number): Generator<JsonPart> {
    this.#keep(rest);
    const isNone = this.#beginLine === undefined && this.#isOver && this.#parts === 0; // []
    if (!isNone) yield { text: this.#begun.join(""), line: this.#beginLine ?? this.#line, end };
    this.#parts++;
    this.#begun = [];
    this.#size = 0;
    this.#beginLine = undefined;
  }

  #keep(text: string): void {
    this.#size += text.length;
    if (this.#size > MAX_ROW_CHARACTERS) {
      const where = `${this.#label}:${this.#beginLine ?? this.#line}`;
      fail(where, `has a row of more than ${MAX_ROW_CHARACTERS} characters`, "split what is so long");
    }
    if (text !== "") this.#begun.push(text);
  }
}

/** What JSON has for blanks; other control characters are none. */
const isBlank = (code: number) => code === SPACE || code === TAB || code === RETURN || code === NEWLINE;

function failGoesOn(where: string): never {
  const what = "goes on behind the end of its JSON list";
  return fail(where, what, "give one list of objects, or one object a line (JSON Lines)");
}
