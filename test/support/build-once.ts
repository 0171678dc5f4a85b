import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { inject } from "vitest";

/**
 * A folder that several test files of a run need, and none of them changes. Who comes first builds it; of two at the same
 * moment both do, and what is ready first stays.
 * @param name of the folder; the same name always means the same content
 */
export async function builtOnce(
  name: string,
  build: (folder: string) => Promise<void> | void,
): Promise<string> {
  const builds = inject("builds");
  const folder = join(builds, name);
  if (existsSync(folder)) return folder;
  const own = `${folder}-${process.pid}`;
  mkdirSync(builds, { recursive: true });
  await build(own);
  try {
    renameSync(own, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
    rmSync(own, { recursive: true });
  }
  return folder;
}
