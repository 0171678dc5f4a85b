import type { Adaptable } from "../method.ts";

/** A module that the class in transformers has and that this model does without. */
export interface UnreachableModule {
  readonly path: string;
  /** Completes "pooler.dense: ". */
  readonly why: string;
}

/** What the task has no use for: nothing would train it. */
export function unreachableModules({ task = "", absentModules = [] }: Adaptable): UnreachableModule[] {
  return absentModules.map((path) => ({ path, why: `${task} does not use it, so nothing would train it` }));
}
