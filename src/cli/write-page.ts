import { writeFile } from "node:fs/promises";
import { fail } from "../util/fail.ts";

/** Writes the page that an option names, `html` unless told. @throws LoraError where that can't be done */
export async function writePage(path: string, page: string, option = "html"): Promise<void> {
  try {
    await writeFile(path, page);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    fail(option, `${path} cannot be written: ${why}`, "give the path of a file in a folder that is there");
  }
}
