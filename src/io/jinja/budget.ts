import { TemplateError } from "./errors.ts";

/** Steps that a rendering may take: a chat of 1000 turns takes 20,000 to 4,000,000 with the templates that TRL has. */
const MOST_STEPS = 20_000_000;

/** Characters that a text may have, on the way or in the end, and items that a list may have. */
const MOST_CHARACTERS = 2 ** 24;
const MOST_ITEMS = 2 ** 20;

/** Characters that are read or written in the time of a step. */
const CHARACTERS_PER_STEP = 64;

/**
 * What a rendering may cost. A template comes with a model from anywhere, and could loop for years or write until the
 * memory is full.
 */
export class Budget {
  #steps = 0;

  /** @throws TemplateError where that was too much */
  spend(steps = 1): void {
    this.#steps += steps;
    if (this.#steps > MOST_STEPS) {
      throw new TemplateError(`takes more than ${MOST_STEPS} steps: it may loop without end`);
    }
  }

  /**
   * Pays for the reading or writing of a text of so many characters, before it is made.
   * @param all how long that makes the text which it is added to
   */
  text(length: number, all = length): void {
    if (all > MOST_CHARACTERS) {
      throw new TemplateError(`makes a text of more than ${MOST_CHARACTERS} characters`);
    }
    this.spend(length / CHARACTERS_PER_STEP);
  }

  /** Pays for a list of so many items, before it is made. */
  items(count: number): void {
    if (count > MOST_ITEMS) throw new TemplateError(`makes a list of more than ${MOST_ITEMS} items`);
    this.spend(count / CHARACTERS_PER_STEP);
  }
}
