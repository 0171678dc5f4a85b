import type { JsonObject } from "../../util/json.ts";
import { shown } from "../../util/shown.ts";
import type { Place } from "./shape.ts";

/** serde_json reads no deeper. */
const DEEPEST = 127;

const HALF_PAIR = /\p{Cs}/u;

/** Tells of what Rust's JSON reader refuses and JavaScript's takes: half a surrogate pair, 1e999, very deep nesting. */
export function checkStrict(root: unknown, file: Place): void {
  // Places are made for problems only: the files that are read so have a million values.
  const steps: (string | number)[] = [];
  const here = () => steps.reduce((place, step) => place.at(step), file);

  const visitText = (text: string) => {
    if (HALF_PAIR.test(text)) here().invalid(`has ${shown(text)}, expected whole characters`);
  };
  const visitInner = (step: string | number, value: unknown) => {
    steps.push(step);
    visit(value);
    steps.pop();
  };
  const visit = (value: unknown): void => {
    if (typeof value === "string") visitText(value);
    else if (typeof value === "number" && !Number.isFinite(value))
      here().expected("a number of 64 bits", value);
    else if (typeof value !== "object" || value === null) return;
    else if (steps.length === DEEPEST) here().invalid(`is nested deeper than ${DEEPEST} levels`);
    else if (Array.isArray(value)) for (const [i, item] of value.entries()) visitInner(i, item);
    else {
      for (const key of Object.keys(value)) {
        visitText(key);
        visitInner(key, (value as JsonObject)[key]);
      }
    }
  };
  visit(root);
}
