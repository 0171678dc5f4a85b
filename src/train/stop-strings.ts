import { largest, smallest } from "../util/arrays.ts";
import { failAll } from "../util/fail.ts";

/**
 * Cuts a stream of text at the first of some strings. Text that may turn out to be the start of one is held back.
 * Special tokens are searched like text but never shown, so that a stop string may be one or hold one.
 */
export class StopStrings {
  /** A stop string was seen; nothing more comes. */
  stopped = false;
  readonly #stops: readonly string[];
  /** Text that is not yet decided on, and for each of its UTF-16 units whether it is shown. */
  #held = "";
  #shown: boolean[] = [];

  /** @throws LoraError for a string that is empty: every text would end before it */
  constructor(stops: readonly string[]) {
    failAll(
      "generate",
      stops
        .filter((stop) => stop === "")
        .map(() => "a stop string is empty; leave it out, or give some text"),
    );
    this.#stops = stops;
  }

  /** Takes the next piece of text; returns what may be shown. */
  push(piece: string): string {
    return this.#take(piece, true);
  }

  /** Takes a special token's text, which is not shown; returns what may be shown of the text before it. */
  pushHidden(token: string): string {
    return this.#take(token, false);
  }

  /** What was held back, when the text ends without a stop string. */
  flush(): string {
    return this.#release(this.#held.length);
  }

  #take(piece: string, isShown: boolean): string {
    this.#held += piece;
    for (let i = 0; i < piece.length; i++) this.#shown.push(isShown);
    const ends = this.#stops.map((stop) => this.#held.indexOf(stop)).filter((at) => at >= 0);
    if (ends.length === 0) return this.#release(this.#held.length - this.#undecided());
    this.stopped = true;
    const text = this.#release(smallest(ends));
    this.#held = "";
    return text;
  }

  /** Lets go of the first `length` units; returns those that are shown. */
  #release(length: number): string {
    const shown = this.#shown.splice(0, length);
    const text = this.#held.slice(0, length);
    this.#held = this.#held.slice(length);
    return shown.includes(false) ? [...shown].map((is, i) => (is ? text[i] : "")).join("") : text;
  }

  /** Length of the longest end of what is held that is the start of a stop string. */
  #undecided(): number {
    const longest = Math.max(0, largest(this.#stops.map((stop) => stop.length - 1)));
    for (let length = Math.min(longest, this.#held.length); length > 0; length--) {
      const end = this.#held.slice(this.#held.length - length);
      if (this.#stops.some((stop) => stop.startsWith(end))) return length;
    }
    return 0;
  }
}
