import type { Budget } from "./budget.ts";

/** UTF-16 positions of a part of a text, the end not included. */
export type TextSpan = readonly [start: number, end: number];

/** Where a rendering writes to. */
export class Output {
  readonly #budget: Budget;
  #pieces: string[] = [];
  #length = 0;
  #depth = 0;

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  /** How much is written: of the rendered text itself, where nothing is being captured. */
  get length(): number {
    return this.#length;
  }

  /** Whether what is written now becomes a value, of which nobody knows where it will end up. */
  get isCapturing(): boolean {
    return this.#depth > 0;
  }

  get text(): string {
    return this.#pieces.join("");
  }

  write(text: string): void {
    this.#length += text.length;
    this.#budget.text(text.length, this.#length);
    this.#pieces.push(text);
  }

  /** What `task` writes, which goes nowhere else. */
  capture(task: () => void): string {
    const [pieces, length] = [this.#pieces, this.#length];
    [this.#pieces, this.#length] = [[], 0];
    this.#depth++;
    try {
      task();
      return this.text;
    } finally {
      this.#depth--;
      [this.#pieces, this.#length] = [pieces, length];
    }
  }
}
