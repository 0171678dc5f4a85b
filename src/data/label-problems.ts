import { describe } from "../util/options.ts";
import { isIndex, isList, itemProblem, type TextLimits } from "./check-items.ts";

/** What is wrong with the class of a whole row. */
export function labelProblem(label: unknown, classes: number): string | undefined {
  if (isIndex(label, classes)) return undefined;
  return `has the label ${describe(label)}, wanted a whole number from 0 to ${classes - 1}`;
}

/** What is wrong with the segments of `count` ids. */
export function segmentsProblem(
  segments: unknown,
  count: number,
  { tokenTypes = 0 }: TextLimits,
): string | undefined {
  if (segments === undefined) return undefined;
  if (!isList(segments)) return `has segments ${describe(segments)}, wanted a list with one for each token`;
  if (segments.length !== count) return `has ${count} tokens and ${segments.length} segments`;
  if (tokenTypes < 2) return undefined; // whatever they are, the model does not read them
  return itemProblem(segments, "segments", tokenTypes, "kinds of segments");
}
