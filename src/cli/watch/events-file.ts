import { mkdirSync, readdirSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { eventRecord, type TensorBoardEvent } from "../../io/formats/tfevents.ts";
import type { LogEntry } from "../../train/watch/log-entry.ts";
import type { RunSamples, UpdateNorms } from "../../train/watch/observer.ts";
import { largest } from "../../util/arrays.ts";
import { distributionOf } from "../../util/distribution.ts";
import { messageOf } from "../../util/fail.ts";
import type { JsonObject } from "../../util/json.ts";
import { AppendedFile } from "./appended-file.ts";
import type { RunAbout } from "./run-file.ts";
import type { Sink } from "./sink.ts";

/** Where event files lie in a run's folder, as transformers' Trainer has them. */
export const EVENTS_FOLDER = "runs";

const PREFIX = "events.out.tfevents";

/** A run for TensorBoard: `tensorboard --logdir FOLDER`. One that goes on begins a file that voids the steps behind its checkpoint. */
export class EventsFile implements Sink {
  readonly #folder: string;
  readonly #tell: (line: string) => void;
  #file: AppendedFile | undefined;
  #settings: JsonObject = {};
  #restart: { readonly step: number; readonly entries: readonly LogEntry[] } | undefined;

  /**
   * @param runFolder the run's
   * @param tell takes warnings
   */
  constructor(runFolder: string, tell: (line: string) => void) {
    this.#folder = join(runFolder, EVENTS_FOLDER);
    this.#tell = tell;
  }

  goOnFrom(step: number, entries: readonly LogEntry[]): void {
    this.#restart = { step, entries };
  }

  about({ settings }: RunAbout): void {
    this.#settings = settings;
  }

  add(entry: LogEntry): void {
    const { step, warnings } = entry;
    const texts = Array.isArray(warnings) ? { texts: { warnings: warnings.join("\n\n") } } : {};
    this.#append({ step, scalars: scalarsOf(entry), ...texts });
  }

  samples({ step, samples }: RunSamples): void {
    const texts = samples.map(({ prompt, text }, i) => [
      `samples/${i}`,
      `${codeBlock(prompt)}\n\n${codeBlock(text)}`,
    ]);
    this.#append({ step, texts: Object.fromEntries(texts) });
  }

  norms({ step, norms, changes }: UpdateNorms): void {
    const ofLayers = Object.entries(changes).map(([layer, change]) => [`update/${layer}`, change]);
    const update_norm = distributionOf(Object.values(norms));
    this.#append({ step, histograms: { update_norm, ...Object.fromEntries(ofLayers) } });
  }

  close(): void {
    this.#file?.close();
  }

  #append(event: Omit<TensorBoardEvent, "wallTime">): void {
    this.#file ??= this.#begin();
    this.#write(event);
  }

  #write(event: Omit<TensorBoardEvent, "wallTime">): void {
    this.#file?.append(eventRecord({ wallTime: Date.now() / 1000, ...event }));
  }

  #begin(): AppendedFile {
    let before: readonly string[] = [];
    try {
      mkdirSync(this.#folder, { recursive: true });
      before = readdirSync(this.#folder).filter((name) => name.startsWith(PREFIX));
    } catch (error) {
      this.#tell(`warning: ${this.#folder} cannot be made: ${messageOf(error)}`);
    }
    const file = new AppendedFile(join(this.#folder, nameAfter(before)), 0, this.#tell);
    this.#file = file;
    this.#write({ step: 0, isFirst: true });
    const { step = 0, entries = [] } = this.#restart ?? {};
    // TensorBoard reads all files of a folder as one run: a new run voids those of the run before.
    if (before.length > 0) this.#write({ step: this.#restart ? step + 1 : 0, isRestart: true });
    else for (const entry of entries) this.#write({ step: entry.step, scalars: scalarsOf(entry) });
    this.#write({ step, texts: { settings: codeBlock(JSON.stringify(this.#settings, null, 2)) } });
    return file;
  }
}

/** A name that sorts behind those that are there: TensorBoard reads them in that order. */
function nameAfter(before: readonly string[]): string {
  const seconds = before.map((name) => Number(name.slice(PREFIX.length + 1).split(".")[0]) || 0);
  const last = Math.max(0, largest(seconds));
  const now = Math.max(Math.floor(Date.now() / 1000), last + 1);
  return `${PREFIX}.${now}.${hostname()}.${process.pid}`;
}

/** Numbers by transformers' tags: `train/loss`, `eval/loss`. */
function scalarsOf({ step: _, epoch, ...figures }: LogEntry): Record<string, number> {
  const values = "loss" in figures ? { ...figures, epoch } : figures;
  const scalars = Object.entries(values).flatMap(([name, value]) => {
    if (typeof value !== "number" && value !== null) return [];
    const tag = name.startsWith("eval_") ? `eval/${name.slice(5)}` : `train/${name}`;
    return [[tag, value ?? Number.NaN]];
  });
  return Object.fromEntries(scalars);
}

const codeBlock = (text: string) => text.replace(/^/gm, "    ");
