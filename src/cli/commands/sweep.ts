import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { METHODS } from "../../adapters/methods.ts";
import { readTextFile } from "../../platform/node-text.ts";
import { fail, messageOf } from "../../util/fail.ts";
import { MAX_CONFIG_BYTES, parseConfig, readMapping } from "../config.ts";
import { methodTable } from "../method-table.ts";
import type { OptionTable } from "../options.ts";
import { flagName, type Settled } from "../settings.ts";
import { sweepPage } from "../sweep/page.ts";
import { runTrialsOnRay } from "../sweep/ray-trials.ts";
import { bestTrial, readResults, resultLines, type TrialResult } from "../sweep/results.ts";
import { describeValues, runTrials, TRIAL_FILE } from "../sweep/run-trials.ts";
import { readSweep, type Sweep, type TrialValues } from "../sweep/trials.ts";
import type { SWEEP_OPTIONS } from "../tables/sweep.ts";
import { TRAIN_OPTIONS } from "../tables/train.ts";
import type { Terminal } from "../terminal.ts";
import { comparisonPage } from "../watch/compare-runs.ts";
import { replaceFile } from "../watch/replace-file.ts";
import { findRuns } from "../watch/run-folders.ts";

/** The trials of a sweep, in its folder. */
const SWEEP_FILE = "sweep.json";
/** The table and the plots. */
const SWEEP_PAGE = "sweep.html";
/** The curves of all trials, as `runs --html` writes them. */
const CURVES_PAGE = "curves.html";

type SweepSettings = Settled<typeof SWEEP_OPTIONS>["settings"];

/**
 * `webgpu-lora sweep`: a run of `train` for each trial, each in a folder and a process of its own. Those that are finished are not run
 * again, and one that was interrupted goes on from its newest checkpoint.
 * @returns the exit code
 */
export async function runSweep(
  { settings }: Settled<typeof SWEEP_OPTIONS>,
  terminal: Terminal,
): Promise<number> {
  const { output_dir, metric: wanted } = settings;
  const metric = wanted.replace(/^eval_/, "");
  const { sweep, flags, chosen } = await readTrials(settings);
  const tell = () => {
    const results = readResults(output_dir, sweep.trials, metric);
    try {
      writePages(output_dir, results, metric);
    } catch (error) {
      // They are written again behind the next trial; none is lost for them.
      terminal.note(`warning: the pages of the sweep are not written: ${messageOf(error)}`);
    }
    return results;
  };
  mkdirSync(output_dir, { recursive: true });
  keepPlan(output_dir, sweep);
  const before = readResults(output_dir, sweep.trials, metric);
  const wantedTrials = before.filter(({ index }) => !settings.list && (chosen ?? index) === index);
  const trials = wantedTrials.filter(({ status, index }) => {
    if (status === "finished") terminal.print(`Trial ${index} is finished.`);
    return status !== "finished";
  });
  for (const { folder, values } of trials) writeTrial(folder, { ...sweep.common, ...values });
  const toRun = { trials, total: sweep.trials.length, flags, terminal, onEnd: tell };
  const code = await (settings.ray === undefined ? runTrials(toRun) : runTrialsOnRay(settings.ray, toRun));
  if (code > 1) return code; // wrong options, or a signal
  const results = tell();
  for (const line of resultLines(results, metric)) terminal.print(line);
  const best = bestTrial(results, metric);
  if (best) terminal.print(`The best is trial ${best.index}: ${describeValues(best.values)}`);
  terminal.print(
    `${join(output_dir, SWEEP_PAGE)} has the table and plots, ${CURVES_PAGE} beside it all curves.`,
  );
  return code;
}

function writeTrial(folder: string, settings: TrialValues): void {
  mkdirSync(folder, { recursive: true });
  replaceFile(join(folder, TRIAL_FILE), `${JSON.stringify(settings, null, 2)}\n`);
}

function writePages(folder: string, results: readonly TrialResult[], metric: string): void {
  replaceFile(join(folder, SWEEP_PAGE), sweepPage(results, metric, `Sweep in ${folder}`));
  if (results.every(({ status }) => status === "waiting")) return;
  replaceFile(join(folder, CURVES_PAGE), comparisonPage(findRuns([folder], "started")));
}

/** What is tried, with which flags of `train`, and which of the trials alone. @throws LoraError for what is wrong with any of it */
async function readTrials(
  settings: SweepSettings,
): Promise<{ sweep: Sweep; flags: readonly string[]; chosen: number | undefined }> {
  const [path, flags] = splitWords(settings.words);
  const table: OptionTable = Object.assign({}, ...METHODS.map(methodTable), TRAIN_OPTIONS);
  const sweep = readSweep(await readFileOf(path, table), settings, table);
  checkFlags(flags, sweep);
  return { sweep, flags, chosen: chosenTrial(settings, sweep) };
}

/** Reads the trials before anything is begun. @throws LoraError for wrong ones */
export async function checkSweep({ settings }: Settled<typeof SWEEP_OPTIONS>): Promise<void> {
  await readTrials(settings);
}

/** The file, where one is named first, and the flags of `train`. */
function splitWords([first, ...rest]: readonly string[]): [string | undefined, readonly string[]] {
  if (first === undefined) return [undefined, []];
  return first.startsWith("-") ? [undefined, [first, ...rest]] : [first, rest];
}

async function readFileOf(path: string | undefined, table: OptionTable): Promise<TrialValues> {
  if (path === undefined) return {};
  const text = await readTextFile(path, MAX_CONFIG_BYTES);
  const mapping = readMapping(text, path);
  const { sweep: _, search: __, trials: ___, ...common } = mapping;
  parseConfig(JSON.stringify(common), path, table); // names every key that train does not know
  return mapping;
}

/** @throws LoraError for flags that contradict the sweep */
function checkFlags(flags: readonly string[], { trials }: Sweep): void {
  const given = flags.filter((word) => word.startsWith("--")).map((word) => word.split("=")[0]);
  const own = ["output_dir", "resume", ...Object.keys(trials[0] ?? {})].map(flagName);
  const both = own.find((flag) => given.includes(flag));
  if (both)
    fail("sweep", `${both} is given for all trials, and the sweep sets it itself`, "leave it out behind --");
}

function chosenTrial({ trial_index }: SweepSettings, { trials }: Sweep): number | undefined {
  const { SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX } = process.env;
  const text = SLURM_ARRAY_TASK_ID ?? JOB_COMPLETION_INDEX;
  const index = trial_index ?? (text === undefined || text === "" ? undefined : Number(text));
  if (index === undefined) return undefined;
  if (Number.isSafeInteger(index) && index >= 0 && index < trials.length) return index;
  return fail("trial_index", `is ${trial_index ?? text}`, `there are the trials 0 to ${trials.length - 1}`);
}

/** Notes the trials. @throws LoraError where the folder has those of another sweep */
function keepPlan(folder: string, { trials }: Sweep): void {
  const path = join(folder, SWEEP_FILE);
  const text = `${JSON.stringify({ version: 1, trials }, null, 2)}\n`;
  let before: string | undefined;
  try {
    before = readFileSync(path, "utf8");
  } catch {
    // there is none yet
  }
  if (before !== undefined && before !== text)
    fail(
      "output_dir",
      `${folder} has other trials than these`,
      "give another folder, or the sweep as it was",
    );
  if (before === undefined) replaceFile(path, text);
}
