import { lstat, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { FileContent } from "../../io/files/files.ts";
import { CARD_MARK, MODEL_CARD } from "../../load/adapter-card.ts";

/** The files without their model card where the folder has one that somebody wrote himself, or what is no file in its place. */
export async function withoutOthersCard(
  folder: string,
  files: ReadonlyMap<string, FileContent>,
): Promise<Map<string, FileContent>> {
  const kept = new Map(files);
  if (kept.has(MODEL_CARD) && (await holdsOthersCard(folder))) kept.delete(MODEL_CARD);
  return kept;
}

/** Whether a folder has such a card. */
export async function holdsOthersCard(folder: string): Promise<boolean> {
  const path = join(folder, MODEL_CARD);
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return false;
  if (!found.isFile()) return true;
  return !(await readFile(path, "utf8")).includes(CARD_MARK);
}
