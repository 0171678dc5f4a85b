import { fail, LoraError } from "../util/fail.ts";
import { badOutput } from "./fault.ts";
import type { Counted, Objective } from "./objective.ts";
import { DAMAGED } from "./sample.ts";

/** Skipped steps in a row after which a run ends. */
const MOST_IN_A_ROW = 10;

/** Counts the steps of a run that were skipped because their gradient was not finite, and ends a run that comes to nothing. */
export class Skips<B extends Counted> {
  readonly #objective: Pick<Objective<never, B>, "device" | "loss">;
  /** Of the last step that was not skipped. */
  #learntFrom: readonly B[] | undefined;
  #inRow = 0;

  constructor(objective: Pick<Objective<never, B>, "device" | "loss">) {
    this.#objective = objective;
  }

  /**
   * Counts a step.
   * @param fault why it was skipped; undefined where it was not
   * @throws LoraError where too many in a row were skipped, or at the end of the run all of them; of kind `diverged`
   * where the run ends with skipped steps and computes no numbers for what it has learnt from either
   */
  async add(batches: readonly B[], fault: string | undefined, isLast: boolean): Promise<void> {
    if (fault === undefined) {
      this.#learntFrom = batches;
      this.#inRow = 0;
      return;
    }
    const isEnough = ++this.#inRow === MOST_IN_A_ROW;
    if (!isEnough && !isLast) return;
    if (!this.#learntFrom)
      fail("train", `no step had a finite gradient: nothing was learnt; ${fault}`, DAMAGED);
    for (const batch of this.#learntFrom) {
      const culprit = await badOutput(this.#objective, batch, { training: false, seed: 0 });
      if (culprit !== undefined) throw diverged(culprit);
    }
    if (isEnough) {
      const message = `${MOST_IN_A_ROW} steps in a row had no finite gradient: the run ends here; ${fault}`;
      fail("train", message, "look at these rows: of those from before, the model computes numbers");
    }
  }
}

function diverged(culprit: string): LoraError {
  const message = `the training has diverged: even in rows that were learnt ${culprit}`;
  const help = "train again at a lower learning rate, or go on from a checkpoint from before";
  return new LoraError("diverged", "train", message, help);
}
