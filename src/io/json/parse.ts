import { fail } from "../../util/fail.ts";
import { jsonErrorOffset } from "./json-error.ts";

/** JSON.parse whose errors name the source (`where`) and the line and column. */
export function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return fail(
      where,
      `invalid JSON at ${lineAndColumn(text, jsonErrorOffset(text))}: ${reason}`,
      "JSON knows no comments, trailing commas, NaN or Infinity",
    );
  }
}

function lineAndColumn(text: string, offset: number): string {
  const lines = text.slice(0, offset).split("\n");
  return `line ${lines.length} column ${lines.at(-1)!.length + 1}`;
}
