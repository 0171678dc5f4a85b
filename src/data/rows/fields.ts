import { firstOf } from "../../util/group-lines.ts";
import type { JsonObject } from "../../util/json.ts";
import { nearest } from "../../util/nearest.ts";
import { shown } from "../../util/shown.ts";

/** What is wrong with a field that must be a text; undefined where it is one. */
export function textProblem(values: JsonObject, key: string): string | undefined {
  const value = values[key];
  if (typeof value !== "string") return fieldProblem(values, key, "a string");
  if (value.isWellFormed()) return undefined;
  return `${JSON.stringify(key)} holds half of a surrogate pair (such as \\ud83d alone), which is no character`;
}

/** What is wrong with a field that must be the name of a class; undefined where it is one. */
export function labelProblem(values: JsonObject, key: string): string | undefined {
  return labelOf(values[key]) === undefined ? fieldProblem(values, key, LABEL) : undefined;
}

const LABEL = "a name or a whole number";

/** The name of a class: a text, a whole number, or true or false. */
export function labelOf(value: unknown): string | undefined {
  const isName = (typeof value === "string" && value !== "") || typeof value === "boolean";
  return isName || Number.isSafeInteger(value) ? String(value) : undefined;
}

/** Keys of a row for a message: the first ones, and how many more. */
export function keysOf(keys: readonly string[]): string {
  return firstOf(keys.map(shown));
}

/** Says what a row has in place of a field of the wanted kind. */
export function fieldProblem(values: JsonObject, key: string, wanted: string): string {
  if (Object.hasOwn(values, key)) {
    return `${JSON.stringify(key)} is ${shown(values[key])}, wanted ${wanted}${rounded(values[key])}`;
  }
  const keys = Object.keys(values);
  const meant = nearest(key, keys);
  const has = keysOf(keys) || "nothing";
  return `has no ${JSON.stringify(key)}, but ${has}${meant ? `; is ${JSON.stringify(meant)} meant?` : ""}`;
}

/** Why whole numbers beyond 2^53 are refused: two of them can become the same one. */
function rounded(value: unknown): string {
  const numbers: unknown[] = Array.isArray(value) ? value : [value];
  const isRounded = numbers.some((item) => Number.isInteger(item) && !Number.isSafeInteger(item));
  return isRounded ? " (whole numbers beyond 2^53 are rounded: write it as a string)" : "";
}
