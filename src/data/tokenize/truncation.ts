import type { PreferenceTask } from "../task-names.ts";

/**
 * What becomes of a row that is longer than it may be: its start is kept (`truncate`), or its end (`keep_end`), or its
 * completion whole with the prompt's end (`keep_completion`), or nothing (`drop`).
 */
export const TRUNCATIONS = ["truncate", "keep_end", "keep_completion", "drop"] as const;

/** One of {@link TRUNCATIONS}. */
export type Truncation = (typeof TRUNCATIONS)[number];

/** A row that may be too long. */
export interface Lengths {
  readonly length: number;
  readonly maxLength: number;
  /** Special tokens at its beginning, which stay where what follows them is cut. */
  readonly head: number;
  /** The first token that is learnt; −1 where none is. */
  readonly firstTrained: number;
}

/**
 * The tokens [start, end) that are cut out of a row, which may be none or all. A completion is kept whole where a token of
 * its prompt, from which its first one is predicted, has room beside it; a row without a prompt is cut at its end.
 */
export function cutOut(
  { length, maxLength, head, firstTrained }: Lengths,
  truncation: Truncation,
): { readonly start: number; readonly end: number } {
  if (length <= maxLength) return { start: length, end: length };
  const isPrompted = firstTrained > head;
  const keepsEnd = truncation === "keep_end" || (truncation === "keep_completion" && isPrompted);
  const isLost = truncation === "keep_completion" && isPrompted && length - firstTrained >= maxLength - head;
  if (truncation === "drop" || isLost) return { start: 0, end: length };
  return keepsEnd ? { start: head, end: head + length - maxLength } : { start: maxLength, end: length };
}

/** As in TRL, answers for a reward model are left out where they are too long: of a part there is no reward. */
export function truncationFor<T extends Truncation | undefined>(
  task: PreferenceTask,
  truncation: T,
): T | "drop" {
  return task === "reward" ? "drop" : truncation;
}
