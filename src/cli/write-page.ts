import { writeFile } from "node:fs/promises";
import { fail } from "../util/fail.ts";

/** Writes the page that `--html` names. @throws LoraError where that can't be done */
export async function writePage(path: string, page: string): Promise<void> {
  try {
    await writeFile(path, page);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    fail("html", `${path} cannot be written: ${why}`, "give the path of a file in a folder that is there");
  }
}
