import { count } from "../../util/count.ts";
import type { Problems } from "../../util/fail.ts";
import { printable } from "../../util/printable.ts";

/** Rows that were left out and that are named. */
const SKIPPED_SHOWN = 5;

/** What is told of rows that were left out, in lines. */
export function describeSkipped({ length, shown }: Problems): string[] {
  if (length === 0) return [];
  const first = shown.slice(0, SKIPPED_SHOWN).map((problem) => `    ${printable(String(problem))}`);
  const more = length > first.length ? [`    and ${count(length - first.length)} more`] : [];
  return [`  ${count(length)} bad ${length === 1 ? "row" : "rows"} left out:`, ...first, ...more];
}
