import { basename, dirname } from "node:path";
import { readText } from "../io/files/files.ts";
import { folderFiles } from "./node-files.ts";

/** A whole UTF-8 file. @throws LoraError where it is missing, is no UTF-8 or has more than `limit` bytes. */
export function readTextFile(path: string, limit?: number): Promise<string> {
  return readText(folderFiles(dirname(path)), basename(path), limit);
}
