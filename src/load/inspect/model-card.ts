import { parse } from "yaml";
import { type FileSource, readText } from "../../io/files/files.ts";
import { LoraError } from "../../util/fail.ts";
import { isObject } from "../../util/json.ts";

const CARD = "README.md";

/** The fields at the head of a model card, between two lines of `---`; undefined where there is none that can be read. */
export async function readModelCard(files: FileSource): Promise<Record<string, unknown> | undefined> {
  if ((await files.size(CARD)) === undefined) return undefined;
  try {
    const [, head] = /^---\r?\n([\s\S]*?)\r?\n---\s*(?:\r?\n|$)/.exec(await readText(files, CARD)) ?? [];
    const fields: unknown = head === undefined ? undefined : parse(head, { maxAliasCount: 0 });
    return isObject(fields) ? fields : undefined;
  } catch (error) {
    // A card is for people: what a program can't read of it is no fault of the adapter.
    if (error instanceof LoraError || error instanceof Error) return undefined;
    throw error;
  }
}
