import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { runningHolder } from "../../platform/node-folders/lock-file.ts";
import { readEntries } from "../../train/watch/log-entry.ts";
import { failAll, messageOf, Problems } from "../../util/fail.ts";
import { METRICS_FILE } from "./metrics-file.ts";
import { FigureTable } from "./report/figures.ts";
import { RUN_FILE, type RunAbout, type RunStatus, readRunFile } from "./run-file.ts";

/** A run as its folder tells of it. */
export interface FoundRun {
  readonly folder: string;
  /** `unknown` where its folder does not say, `killed` where it says that it goes on, and nobody is at work. */
  readonly status: RunStatus | "killed" | "unknown";
  readonly about: RunAbout | undefined;
  readonly figures: FigureTable;
  /** What is wrong with its files, or missing. */
  readonly remarks: readonly string[];
}

/** In what order runs are shown. */
export const RUN_ORDERS = ["started", "eval_loss", "loss"] as const;
export type RunOrder = (typeof RUN_ORDERS)[number];

/** Folders below one that is given, in which runs are looked for. */
const DEEPEST = 4;

/**
 * The runs in some folders, each of which is a run's or has runs below it.
 * @throws LoraError for folders that are not there, or that hold no run
 */
export function findRuns(folders: readonly string[], order: RunOrder): FoundRun[] {
  const problems = new Problems();
  const found = folders.flatMap((folder) => {
    const paths = statSync(folder, { throwIfNoEntry: false })?.isDirectory()
      ? runsBelow(folder, DEEPEST)
      : undefined;
    if (!paths) problems.push(`${folder} is no folder`);
    else if (paths.length === 0)
      problems.push(`${folder} holds no run: neither ${METRICS_FILE} nor ${RUN_FILE}`);
    return paths ?? [];
  });
  failAll("runs", problems, "name output folders of train, which wrote them unless --report-to was none");
  return [...new Set(found)].map(readRun).sort(ORDERS[order]);
}

const isRun = (folder: string) => [METRICS_FILE, RUN_FILE].some((name) => existsSync(join(folder, name)));

function runsBelow(folder: string, depth: number): string[] {
  if (isRun(folder)) return [folder];
  if (depth === 0) return [];
  return subfolders(folder).flatMap((name) => runsBelow(join(folder, name), depth - 1));
}

/** Folders in a folder; those that cannot be read hold none. */
function subfolders(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !/^(\.|node_modules$|checkpoint-\d+$)/.test(entry.name))
      .map(({ name }) => name)
      .sort();
  } catch {
    return [];
  }
}

/** Reads what a run's folder says; what is broken in it becomes a remark. */
export function readRun(folder: string): FoundRun {
  const remarks: string[] = [];
  const read = readRunFile(folder);
  const about = typeof read === "object" ? read : undefined;
  if (read === undefined) remarks.push(`${RUN_FILE} is missing: its settings are not known`);
  else if (typeof read === "string") remarks.push(read);
  const figures = new FigureTable();
  for (const entry of entriesOf(folder, remarks)) figures.add(entry);
  const isLeft = about?.status === "running" && runningHolder(folder) === undefined;
  return { folder, about, figures, remarks, status: isLeft ? "killed" : (about?.status ?? "unknown") };
}

function entriesOf(folder: string, remarks: string[]) {
  const path = join(folder, METRICS_FILE);
  if (!existsSync(path)) {
    remarks.push(`${METRICS_FILE} is missing: it has no curves`);
    return [];
  }
  try {
    const { entries, broken } = readEntries(readFileSync(path, "utf8"));
    if (broken.length > 0) {
      const lines = `${broken.length === 1 ? "line" : "lines"} ${broken.slice(0, 5).join(", ")}`;
      remarks.push(
        `${METRICS_FILE}: ${lines}${broken.length > 5 ? ", …" : ""} cannot be read, and is left out`,
      );
    }
    return entries;
  } catch (error) {
    remarks.push(messageOf(error));
    return [];
  }
}

const orLast = (x: number | undefined) => x ?? Number.POSITIVE_INFINITY;

/** Those of which it is not known come last. */
const ORDERS: Readonly<Record<RunOrder, (a: FoundRun, b: FoundRun) => number>> = {
  started: byFigure(({ about }) => about && Date.parse(about.started)),
  eval_loss: byFigure((run) => run.figures.lowest("eval_loss")?.value),
  loss: byFigure((run) => run.figures.last("loss")),
};

function byFigure(figure: (run: FoundRun) => number | undefined) {
  return (a: FoundRun, b: FoundRun) => {
    const [x, y] = [orLast(figure(a)), orLast(figure(b))];
    return x === y ? 0 : x - y;
  };
}
