import { rmSync } from "node:fs";
import { join } from "node:path";
import { removeDeadDrafts } from "../../platform/node-drafts.ts";
import { evaluationEntry, type LogEntry, stepEntry } from "../../train/watch/log-entry.ts";
import { observeAll, type RunObserver } from "../../train/watch/observer.ts";
import { messageOf, tryTo } from "../../util/fail.ts";
import { EventsFile } from "./events-file.ts";
import { METRICS_FILE, MetricsFile } from "./metrics-file.ts";
import { replaceFile } from "./replace-file.ts";
import { LOOKS_FILE } from "./report/looks.ts";
import { REPORT_FILE, ReportFile } from "./report/report-file.ts";
import type { ReportKind } from "./reports.ts";
import { RUN_FILE, type RunAbout, type RunStatus, readRunFile, writeRunFile } from "./run-file.ts";
import type { Sink } from "./sink.ts";

/** What is to be watched. */
export interface Watched {
  /** The run's folder. */
  readonly folder: string;
  readonly reports: readonly ReportKind[];
  readonly about: Omit<RunAbout, "status" | "started" | "resumed">;
  /** The configuration that it runs again from. */
  readonly config: string;
  /** The step that it goes on behind, and the folder of the run that came so far; undefined where it begins. */
  readonly resumed: { readonly step: number; readonly folder: string } | undefined;
  /** Takes warnings. */
  tell(line: string): void;
}

/** Watches a run into its folder. */
export interface RunWatch {
  readonly observer: Required<RunObserver>;
  /** Whether anything shows how far layers have moved. */
  readonly wantsNorms: boolean;
  /** What the run came to that this one goes on from. */
  readonly before: readonly LogEntry[];
  /** Notes how it ended. */
  end(status: Exclude<RunStatus, "running">, error?: unknown): void;
}

/** Opens what a run is reported to. A report that cannot be written is told, and the run goes on. */
export function watchRun(watched: Watched): RunWatch {
  const { folder, reports, tell, resumed } = watched;
  for (const name of [METRICS_FILE, RUN_FILE, REPORT_FILE, LOOKS_FILE, CONFIG_FILE])
    tryTo(() => removeDeadDrafts(folder, name));
  const metrics = new MetricsFile(join(folder, METRICS_FILE), tell);
  const sinks: Sink[] = reports.length === 0 ? [] : [aboutFile(folder, tell), metrics];
  if (reports.includes("html")) sinks.push(new ReportFile(folder, tell));
  if (reports.includes("tensorboard")) sinks.push(new EventsFile(folder, tell));
  keepConfig(watched);
  let about = begun(watched);
  const change = (changed: Partial<RunAbout>) => {
    about = { ...about, ...changed };
    for (const sink of sinks) sink.about?.(about);
  };
  change({});
  const before = resumed ? metrics.keepUntil(resumed.step, join(resumed.folder, METRICS_FILE)) : [];
  if (resumed) for (const sink of sinks) sink.goOnFrom?.(resumed.step, before, resumed.folder);
  else tryTo(() => rmSync(join(folder, LOOKS_FILE), { force: true })); // of another run
  const add = (entry: LogEntry) => {
    for (const sink of sinks) sink.add?.(entry);
  };
  const observer: RunObserver = {
    onStep(step, warnings) {
      if (about.totalSteps !== step.totalSteps) change({ totalSteps: step.totalSteps });
      add(stepEntry(step, warnings));
      for (const { message } of warnings) tell(`warning: ${message}`);
    },
    onEvaluation: (evaluation) => add(evaluationEntry(evaluation)),
    onSamples(samples) {
      for (const sink of sinks) sink.samples?.(samples);
    },
    onUpdateNorms(norms) {
      for (const sink of sinks) sink.norms?.(norms);
    },
  };
  return {
    observer: observeAll([observer], (error) =>
      tell(`warning: the run is no longer watched, and goes on: ${messageOf(error)}`),
    ),
    before,
    wantsNorms: sinks.some(({ norms }) => norms),
    end(status, error) {
      const ended = new Date().toISOString();
      change({ status, ended, ...(error !== undefined && { error: messageOf(error) }) });
      for (const sink of sinks) sink.close?.();
    },
  };
}

/** What is known of the run at its start; of one that goes on, when it began. */
function begun({ about, resumed }: Watched): RunAbout {
  const read = resumed && readRunFile(resumed.folder);
  const before = typeof read === "object" ? read : undefined;
  return {
    ...about,
    status: "running",
    started: before?.started ?? new Date().toISOString(),
    resumed: resumed ? [...(before?.resumed ?? []), resumed.step] : [],
  };
}

/** What a run's configuration is called, in its folder. */
export const CONFIG_FILE = "config.yaml";

function keepConfig({ folder, config, tell }: Watched): void {
  try {
    replaceFile(join(folder, CONFIG_FILE), config);
  } catch (error) {
    tell(`warning: ${CONFIG_FILE} is not written: ${messageOf(error)}`);
  }
}

function aboutFile(folder: string, tell: (line: string) => void): Sink {
  let isTold = false;
  return {
    about(about) {
      try {
        writeRunFile(folder, about);
      } catch (error) {
        if (!isTold) tell(`warning: what the run is cannot be noted in ${folder}: ${messageOf(error)}`);
        isTold = true;
      }
    },
  };
}
