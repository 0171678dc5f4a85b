import { existsSync, readFileSync } from "node:fs";
import { entriesUntil, entryLine, type LogEntry, readEntries } from "../../train/watch/log-entry.ts";
import { messageOf } from "../../util/fail.ts";
import { AppendedFile } from "./appended-file.ts";
import { replaceFile } from "./replace-file.ts";
import type { Sink } from "./sink.ts";

/** What a run's file of entries is called, in its folder. */
export const METRICS_FILE = "metrics.jsonl";

const encoder = new TextEncoder();

/**
 * `metrics.jsonl` of a run. One that goes on keeps the lines until its checkpoint, and drops those behind it, so that the
 * file tells of one run however often it was stopped.
 */
export class MetricsFile implements Sink {
  readonly #path: string;
  readonly #tell: (line: string) => void;
  #file: AppendedFile;
  /** The last step that it tells of. */
  #last = 0;

  /** @param tell takes warnings */
  constructor(path: string, tell: (line: string) => void) {
    this.#path = path;
    this.#tell = tell;
    this.#file = new AppendedFile(path, 0, tell);
  }

  /**
   * Keeps what there is until a step, and drops what is behind it.
   * @param source what is kept, where that is the file of another folder
   * @returns what stays
   */
  keepUntil(step: number, source = this.#path): LogEntry[] {
    this.#file.close();
    const entries = this.#read(source, step);
    const text = entries.map(entryLine).join("");
    try {
      if (entries.length > 0) replaceFile(this.#path, text);
    } catch (error) {
      this.#tell(`warning: ${this.#path} is not written: ${messageOf(error)}`);
    }
    this.#file = new AppendedFile(this.#path, encoder.encode(text).length, this.#tell);
    this.#last = step;
    return entries;
  }

  #read(source: string, step: number): LogEntry[] {
    try {
      if (!existsSync(source)) return [];
      return entriesUntil(readEntries(readFileSync(source, "utf8")).entries, step);
    } catch (error) {
      this.#tell(`warning: ${source} cannot be read, so it begins anew: ${messageOf(error)}`);
      return [];
    }
  }

  /** Adds the entry of a step, or of an evaluation behind it. Steps that come again, as after a lost device, take the place of the former. */
  add(entry: LogEntry): void {
    const isStep = "loss" in entry;
    if (isStep && entry.step <= this.#last) this.keepUntil(entry.step - 1);
    this.#last = Math.max(this.#last, entry.step);
    this.#file.append(encoder.encode(entryLine(entry)));
  }

  close(): void {
    this.#file.close();
  }
}
