import type { LogEntry } from "../../train/watch/log-entry.ts";
import type { RunSamples, UpdateNorms } from "../../train/watch/observer.ts";
import type { RunAbout } from "./run-file.ts";

/** A place that a run is reported to. None of these throws: what cannot be written is told, and the run goes on. */
export interface Sink {
  /** What was known of the run already, where it goes on behind a step. @param folder of the run that came so far */
  goOnFrom?(step: number, entries: readonly LogEntry[], folder: string): void;
  /** What is known about the run, whenever that changes. */
  about?(about: RunAbout): void;
  /** A step, or an evaluation behind it. */
  add?(entry: LogEntry): void;
  samples?(samples: RunSamples): void;
  norms?(norms: UpdateNorms): void;
  /** Nothing more comes. */
  close?(): void;
}
