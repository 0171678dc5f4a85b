import { parseJson } from "../../../io/json/parse.ts";
import type { RunSamples, UpdateNorms } from "../../../train/watch/observer.ts";
import { isObject } from "../../../util/json.ts";

/** How far layers have moved, without how. */
export type Norms = Omit<UpdateNorms, "changes">;

/** What a report shows beside the figures: samples, and how far layers have moved. */
export type Look = RunSamples | Norms;

/** The file that keeps it, a line each, for the report of a run that goes on. */
export const LOOKS_FILE = "report.jsonl";

export const isNorms = (look: Look): look is Norms => "norms" in look;

/** The looks in a text; lines that hold none are left out. */
export function readLooks(text: string): Look[] {
  return text.split("\n").flatMap((line): Look[] => {
    let value: unknown;
    try {
      value = parseJson(line, "line");
    } catch {
      return []; // cut off, or the end
    }
    return isLook(value) ? [value] : [];
  });
}

function isLook(value: unknown): value is Look {
  if (!isObject(value) || !Number.isSafeInteger(value.step)) return false;
  const { since, norms, samples } = value;
  if (isObject(norms))
    return Number.isSafeInteger(since) && Object.values(norms).every((norm) => typeof norm === "number");
  return Array.isArray(samples) && samples.every(isSample);
}

const isSample = (value: unknown) =>
  isObject(value) && typeof value.prompt === "string" && typeof value.text === "string";
