import type { FileContent } from "../io/files/files.ts";

/** Files as they cross to the page: without being copied. */
export function asBlobs(files: ReadonlyMap<string, FileContent>): Map<string, Blob> {
  return new Map([...files].map(([name, content]) => [name, new Blob([content as BlobPart])]));
}
