import { mkdtemp, rmdir, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { folderFiles } from "../platform/node-files.ts";
import { fail } from "../util/fail.ts";

/**
 * Checks that a folder can be written to, or made, without making it: hours of training must not end in an error.
 * @throws LoraError that says why the folder can't be used
 */
export async function checkWritable(folder: string): Promise<void> {
  const nearest = await nearestExisting(resolve(folder));
  if (!nearest.isFolder) fail("output_dir", `${folder} cannot be made: ${nearest.path} is a file`);
  // Access rights alone do not tell: the disk may be mounted read-only, and root may do everything but this.
  const probe = await mkdtemp(join(nearest.path, ".webgpu-lora-")).catch((error: Error) => {
    return fail(
      "output_dir",
      `${folder} cannot be written to: ${error.message}`,
      "choose another output_dir",
    );
  });
  await rmdir(probe);
}

/** Whether an adapter is in a folder already. */
export async function holdsAdapter(folder: string): Promise<boolean> {
  return (await folderFiles(folder).size("adapter_model.safetensors")) !== undefined;
}

async function nearestExisting(path: string): Promise<{ path: string; isFolder: boolean }> {
  const found = await stat(path).catch(() => undefined);
  if (found) return { path, isFolder: found.isDirectory() };
  return nearestExisting(dirname(path));
}
