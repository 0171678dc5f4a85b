import { blobFile } from "../data/files/data-file.ts";
import type { Hash } from "../io/files/digest.ts";
import {
  differences,
  RUN_STATE_FILES,
  type RunNotes,
  type RunState,
  readRunState,
  runStateFiles,
} from "../io/formats/run-state.ts";
import { beginFile } from "../load/base-digest.ts";
import { fail, failAll, Problems } from "../util/fail.ts";
import type { EnginePlatform } from "./platform.ts";
import type { AnyRows } from "./protocol.ts";

/** A run whose state lies in a folder, which is its own as long as it lasts. */
export interface OpenedRun {
  /** From where it goes on; undefined where it begins. */
  readonly state: RunState | undefined;
  /** Keeps another state, and then no older one. */
  save(state: RunState): Promise<void>;
  /** Leaves the folder to others. */
  close(): void;
}

/**
 * Opens a folder for a run.
 * @throws LoraError where another tab or program has a run there, or what is there is a run of something else
 */
export async function openRun(platform: EnginePlatform, folder: string, notes: RunNotes): Promise<OpenedRun> {
  const close = await platform.claimFolder(folder);
  if (!close) {
    const help = "wait until it ends, stop it there, or give this run another folder";
    return fail("train", `a run in another tab or program keeps its state in ${folder}`, help);
  }
  try {
    const hash = sha256(platform.hash);
    const newest = (await checkpointsIn(platform, folder)).at(-1);
    const found = newest && (await readRunState(platform.folderFiles(newest.path), hash));
    if (found) {
      const help = "give what it was begun with, or another folder";
      failAll(`train: the run in ${folder}`, new Problems(differences(found.notes, notes)), help);
    }
    return {
      state: found?.state,
      close,
      async save(state) {
        const path = `${folder}/checkpoint-${state.step}`;
        await platform.folderWriter(path).write(runStateFiles(state, notes, hash));
        for (const other of await checkpointsIn(platform, folder))
          if (other.path !== path) await platform.removeFolder(other.path);
      },
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** The checkpoints of a folder, the oldest first; what was cut off is none. */
async function checkpointsIn(platform: EnginePlatform, folder: string) {
  const names = await platform.folderFiles(folder).folders?.();
  const found = (names ?? []).map(async (name) => {
    const step = /^checkpoint-(\d+)$/.exec(name)?.[1];
    const path = `${folder}/${name}`;
    const files = platform.folderFiles(path);
    const sizes = await Promise.all(Object.values(RUN_STATE_FILES).map((file) => files.size(file)));
    return step !== undefined && sizes.every(Boolean) ? [{ step: Number(step), path }] : [];
  });
  return (await Promise.all(found)).flat().sort((a, b) => a.step - b.step);
}

const sha256 = (hash: Hash) => (bytes: Uint8Array) => {
  const hashing = hash("sha256");
  hashing.update(bytes);
  return hashing.hex();
};

/** What tells rows from others: the digest of their texts, or of the files that they are in. */
export async function rowsDigest(rows: AnyRows, hash: Hash): Promise<string> {
  const hashing = hash("sha256");
  if (!("files" in rows)) hashing.update(new TextEncoder().encode(JSON.stringify(rows)));
  else {
    for (const [name, file] of rows.files) {
      beginFile(hashing, name, file.size);
      for await (const bytes of blobFile(name, file).pieces()) hashing.update(bytes);
    }
  }
  return `sha256:${hashing.hex()}`;
}
