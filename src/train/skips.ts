import { fail } from "../util/fail.ts";
import { DAMAGED } from "./sample.ts";

/** Skipped steps in a row after which a run ends. */
const MOST_IN_A_ROW = 10;

/** Counts the steps of a run that were skipped because their gradient was not finite. */
export class Skips {
  #learnt = 0;
  #inRow = 0;

  /**
   * Counts a step.
   * @param fault why it was skipped; undefined where it was not
   * @throws LoraError where too many in a row were skipped, or at the end of the run all of them
   */
  add(fault: string | undefined, isLast: boolean): void {
    if (fault === undefined) {
      this.#learnt++;
      this.#inRow = 0;
    } else if (++this.#inRow === MOST_IN_A_ROW) {
      const message = `${MOST_IN_A_ROW} steps in a row had no finite gradient: the run ends here; ${fault}`;
      fail("train", message, DAMAGED);
    } else if (isLast && this.#learnt === 0) {
      fail("train", `no step had a finite gradient: nothing was learnt; ${fault}`, DAMAGED);
    }
  }
}
