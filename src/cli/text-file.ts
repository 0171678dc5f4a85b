import { basename, dirname } from "node:path";
import { readText } from "../io/files/files.ts";
import { folderFiles } from "../platform/node-files.ts";

/** A whole UTF-8 file. @throws LoraError where it is missing or is no UTF-8. */
export function readTextFile(path: string): Promise<string> {
  return readText(folderFiles(dirname(path)), basename(path));
}
