import type { Random } from "../util/random.ts";

/** A text whose tokens are drawn. */
interface DrawnText {
  readonly random: Random;
}

/** The numbers that were drawn for tokens that nobody knows yet: where their steps are lost, the same are drawn again. */
export class Draws {
  /** Of each text the oldest first, and how many of them are in use. */
  readonly #open = new WeakMap<DrawnText, { readonly numbers: number[]; used: number }>();

  /** A number in [0, 1) for the text's next token. */
  uniform(text: DrawnText): number {
    const open = this.#open.get(text) ?? { numbers: [], used: 0 };
    this.#open.set(text, open);
    if (open.used === open.numbers.length) open.numbers.push(text.random.uniform());
    return open.numbers[open.used++] as number;
  }

  /** The token is known that was drawn longest ago of each text. */
  settle(texts: readonly DrawnText[]): void {
    for (const text of texts) {
      const open = this.#open.get(text);
      if (open && open.numbers.shift() !== undefined) open.used--;
    }
  }

  /** Begins again with the oldest number of each text. */
  rewind(texts: readonly DrawnText[]): void {
    for (const text of texts) {
      const open = this.#open.get(text);
      if (open) open.used = 0;
    }
  }
}
