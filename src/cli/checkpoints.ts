import { existsSync, readdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { RUN_STATE_FILES, type RunNotes, type RunState, readRunState } from "../io/formats/run-state.ts";
import { folderFiles } from "../platform/node-files.ts";
import { fail, failAll, Problems } from "../util/fail.ts";
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

/** @throws LoraError for one that is cut off, damaged, or of another version */
export async function readCheckpoint(path: string): Promise<Resumed> {
  return { path, ...(await readRunState(folderFiles(path), sha256)) };
}

/** What is other than it was: settings by their names, base and data. */
export function differences(was: RunNotes, is: Pick<RunNotes, "settings" | "identity">): string[] {
  const names = new Set([...Object.keys(was.settings), ...Object.keys(is.settings)]);
  const text = (value: unknown) => JSON.stringify(value ?? null);
  const changed = [...names]
    .filter((name) => text(was.settings[name]) !== text(is.settings[name]))
    .map((name) => `${name} was ${text(was.settings[name])}, and is ${text(is.settings[name])}`);
  const others = Object.keys(is.identity).filter((name) => was.identity[name] !== is.identity[name]);
  return [...changed, ...others.map((name) => `the ${name} has another content than it had`)];
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
