import type { RunState } from "../io/formats/run-state.ts";
import { type FailureKind, LoraError } from "../util/fail.ts";
import type { StepMetrics } from "./trainer.ts";
import type { TrainerOptions } from "./trainer-options.ts";

/** Begins to train: what {@link trainObjective} and its like are, once items and options are given. */
export type BeginTraining = (
  options: Pick<TrainerOptions, "signal" | "settleAfter" | "onStart" | "resume" | "batchSplit">,
) => AsyncGenerator<StepMetrics>;

/** A device that was lost, or had no memory for a step, in the middle of a run. */
export interface Loss {
  /** Of kind `device-lost` or `out-of-memory`. */
  readonly error: LoraError;
  /** The step behind which the run goes on; 0: from its beginning. */
  readonly step: number;
  /** Its state behind that step; undefined: as it was begun. */
  readonly state: RunState | undefined;
  /** Which loss in a row it is, without a finished step between; from 1. */
  readonly attempt: number;
  /** Parts that micro-batches are computed in from here on. */
  readonly batchSplit: number;
}

/** What a run does after a loss. */
export interface LossPolicy {
  /**
   * Makes the same run possible again after the device was lost, or had no memory: closes the device, opens one, loads the
   * model and attaches the adapter as before. The run goes on from the newest copy of its state, and comes to the same
   * bytes. Without it such an error ends the run.
   */
  recover?(loss: Loss): Promise<BeginTraining>;
  /** Losses in a row, without a finished step between, of which the last ends the run; 3 unless given. */
  maxLosses?: number;
  /** Parts at most that micro-batches are computed in where the device twice has no memory for the same step; 1 unless given. */
  mostParts?: number;
}

/** Losses that are no accident any more. */
const MOST_IN_A_ROW = 3;
/** What the system may need after a loss before it has a device again, ms; for each attempt but the first. */
const PAUSE_MS = 1000;
/** What goes wrong where there is no device yet. */
const LOST: readonly FailureKind[] = ["device-lost", "out-of-memory"];
const NOT_BACK: readonly FailureKind[] = [...LOST, "no-adapter"];

/** Counts the losses of a run, and says from where and how it goes on. */
export class Losses {
  /** The state from which the run goes on; undefined: from where it was begun. */
  resume: RunState | undefined;
  /** Parts that micro-batches are computed in; 1: as the run was begun. */
  batchSplit = 1;
  readonly #policy: Omit<LossPolicy, "recover">;
  /** The last step that was finished. */
  #reached = 0;
  #reachedBefore = -1;
  #inRow = 0;

  constructor(policy: Omit<LossPolicy, "recover">) {
    this.#policy = policy;
  }

  /** Whether an error is one after which a run may go on on another device. */
  static isOne({ kind }: LoraError): boolean {
    return LOST.includes(kind);
  }

  /** Notes that a step was finished which was not before. */
  progress(step: number): void {
    this.#reached = step;
  }

  /**
   * Goes on after a loss.
   * @param state the newest that the host has a copy of
   * @throws LoraError the loss, where it is one too many in a row
   */
  async recover(
    lost: LoraError,
    state: RunState | undefined,
    recover: NonNullable<LossPolicy["recover"]>,
  ): Promise<BeginTraining> {
    this.resume = state ?? this.resume;
    for (let error = lost; ; ) {
      this.#count(error, lost);
      const attempt = this.#inRow;
      if (attempt > 1) await new Promise((resolve) => setTimeout(resolve, (attempt - 1) * PAUSE_MS));
      try {
        const { resume: state, batchSplit } = this;
        return await recover({ error, step: state?.step ?? 0, state, attempt, batchSplit });
      } catch (next) {
        if (!(next instanceof LoraError) || !NOT_BACK.includes(next.kind)) throw next;
        error = next;
      }
    }
  }

  /** @throws LoraError the loss that the run was ended by, where there were too many */
  #count({ kind }: LoraError, lost: LoraError): void {
    const { maxLosses = MOST_IN_A_ROW } = this.#policy;
    const isSamePlace = this.#reached === this.#reachedBefore;
    this.#reachedBefore = this.#reached;
    this.#inRow = isSamePlace ? this.#inRow + 1 : 1;
    if (isSamePlace && kind === "out-of-memory") this.#split(lost);
    else if (this.#inRow >= maxLosses) throw lost;
  }

  /** Twice without memory at the same place: less has to be in it at once. */
  #split(lost: LoraError): void {
    const { mostParts = 1 } = this.#policy;
    const parts = Math.max(this.batchSplit, this.resume?.batchSplit ?? 1);
    if (parts >= mostParts) throw new LoraError("out-of-memory", "train", lost, SMALLER);
    this.batchSplit = Math.min(mostParts, 2 * parts);
  }
}

const SMALLER =
  "twice at the same step: with a smaller batch and as much more accumulation it is the same mathematics in less memory; then gradient checkpointing, then shorter rows";
