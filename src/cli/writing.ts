import { fail } from "../util/fail.ts";
import type { Writing } from "./task.ts";

/**
 * What a model that writes is asked for.
 * @param setting who asks
 * @throws LoraError where it writes nothing
 */
export function writingOf(writing: Writing | undefined, setting: string): Writing {
  if (writing) return writing;
  return fail(setting, "the model writes nothing in this task", "leave it out");
}
