import { existsSync, readdirSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import {
  differences,
  RUN_STATE_FILES,
  type RunNotes,
  type RunState,
  readRunState,
} from "../io/formats/run-state.ts";
import { folderFiles } from "../platform/node-files.ts";
import { fail, failAll, LoraError, Problems } from "../util/fail.ts";
import { sha256 } from "./identity.ts";

/** A folder that holds a run's state, by TRL's name `checkpoint-N`. */
export interface CheckpointFolder {
  readonly step: number;
  readonly path: string;
}

/** Where the checkpoint of a step lies. */
export const checkpointPath = (folder: string, step: number): string => join(folder, `checkpoint-${step}`);

/** The checkpoints in an output folder that hold a state, the oldest step first; what was cut off holds none. */
export function checkpointsIn(folder: string): CheckpointFolder[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .flatMap((name) => {
      const step = /^checkpoint-(\d+)$/.exec(name)?.[1];
      const path = join(folder, name);
      const isWhole = Object.values(RUN_STATE_FILES).every((file) => existsSync(join(path, file)));
      return step !== undefined && isWhole ? [{ step: Number(step), path }] : [];
    })
    .sort((a, b) => a.step - b.step);
}

/**
 * The checkpoint that a run goes on from.
 * @param resume `auto`: the newest of the output folder, if there is one; else a checkpoint, or a folder of some
 * @throws LoraError where the folder that is named holds none
 */
export function findCheckpoint(resume: string | undefined, outputFolder: string): string | undefined {
  if (resume === undefined) return undefined;
  if (resume === "auto") return checkpointsIn(outputFolder).at(-1)?.path;
  if (existsSync(join(resume, RUN_STATE_FILES.about))) return resume;
  const newest = checkpointsIn(resume).at(-1)?.path;
  return newest ?? fail("resume", `${resume} holds no checkpoint of a run`, HELP);
}

const HELP =
  "name a checkpoint-N folder with state.json; --resume-adapter-file goes on from the weights of an adapter alone";

/** A checkpoint that was read. */
export interface Resumed {
  readonly path: string;
  readonly state: RunState;
  readonly notes: RunNotes;
}

/** @throws LoraError for one that is cut off, damaged, or of another version; it names the newest beside it that is whole */
export async function readCheckpoint(path: string): Promise<Resumed> {
  try {
    return await readWhole(path);
  } catch (error) {
    const whole = await newestWhole(dirname(path));
    if (!(error instanceof LoraError) || whole === undefined) throw error;
    throw new LoraError(
      error.kind,
      "resume",
      error,
      `--resume ${whole} goes on from the newest that is whole`,
    );
  }
}

async function readWhole(path: string): Promise<Resumed> {
  return { path, ...(await readRunState(folderFiles(path), sha256)) };
}

/** The newest checkpoint of a folder that can be read. */
async function newestWhole(folder: string): Promise<string | undefined> {
  for (const { path } of checkpointsIn(folder).reverse())
    if (await readWhole(path).catch(() => undefined)) return path;
  return undefined;
}

/**
 * Refuses to go on with something else than before.
 * @param force returns the differences instead
 * @throws LoraError that lists them
 */
export function checkSame(
  { path, notes }: Resumed,
  is: Pick<RunNotes, "settings" | "identity">,
  force: boolean,
): string[] {
  const problems = differences(notes, is);
  if (force) return problems;
  failAll(`resume from ${path}`, new Problems(problems), "give what the run was begun with, or --force");
  return [];
}

/**
 * Removes the oldest checkpoints where there are more than `limit`, but never the best nor the newest. The file without which
 * nobody resumes from one goes first.
 * @returns the names of those that are gone
 */
export function pruneCheckpoints(folder: string, limit: number, best: number | undefined): string[] {
  const all = checkpointsIn(folder);
  const newest = all.at(-1)?.step;
  const removable = all.filter(({ step }) => step !== best && step !== newest);
  const leaving = removable.slice(0, Math.max(0, all.length - limit));
  for (const { path } of leaving) {
    rmSync(join(path, RUN_STATE_FILES.about), { force: true });
    rmSync(path, { recursive: true, force: true });
  }
  return leaving.map(({ path }) => basename(path));
}
