import { renameSync, rmSync, writeFileSync } from "node:fs";
import { draftOf } from "../../platform/node-drafts.ts";

/** Puts a whole file in another's place at once. @throws what the system says where that can't be done */
export function replaceFile(path: string, content: string): void {
  const draft = draftOf(path);
  try {
    writeFileSync(draft, content);
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
}
