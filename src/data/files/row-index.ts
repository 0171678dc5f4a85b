/** Where a row stands in a file. */
export interface RowSpan {
  /** The line on which it begins, from 1. */
  readonly line: number;
  /** Its bytes, from `start` until before `end`. */
  readonly start: number;
  readonly end: number;
}

/** Where the rows of a file stand: 12 bytes a row, and 4 more from the first one on that is not on the line of its number. */
export class RowIndex {
  readonly #starts = new NumberList((length) => new Float64Array(length));
  readonly #lengths = new NumberList((length) => new Uint32Array(length));
  readonly #lines = new NumberList((length) => new Uint32Array(length));
  /** Rows that are on the line of their number, from the first on. */
  #regular = 0;

  get length(): number {
    return this.#starts.length;
  }

  /** Takes the next row, which begins on a line. */
  push(line: number, start: number, end: number): void {
    if (this.#regular === this.length && line === this.length + 1) this.#regular++;
    else this.#lines.push(line);
    this.#starts.push(start);
    this.#lengths.push(end - start);
  }

  /** Where the row at a place from 0 stands. */
  at(place: number): RowSpan {
    const start = this.#starts.at(place);
    return { line: this.lineOf(place), start, end: start + this.#lengths.at(place) };
  }

  lineOf(place: number): number {
    return place < this.#regular ? place + 1 : this.#lines.at(place - this.#regular);
  }
}

/** Numbers of a block, which is taken at once. */
const BLOCK = 2 ** 16;

/** A list of numbers outside of the engine's heap, which grows without being copied. */
class NumberList {
  readonly #make: (length: number) => Float64Array | Uint32Array;
  readonly #blocks: (Float64Array | Uint32Array)[] = [];
  #length = 0;

  constructor(make: (length: number) => Float64Array | Uint32Array) {
    this.#make = make;
  }

  get length(): number {
    return this.#length;
  }

  push(value: number): void {
    const at = this.#length++ % BLOCK;
    if (at === 0) this.#blocks.push(this.#make(BLOCK));
    (this.#blocks.at(-1) as Float64Array)[at] = value;
  }

  at(place: number): number {
    return this.#blocks[Math.floor(place / BLOCK)]?.[place % BLOCK] as number;
  }
}
