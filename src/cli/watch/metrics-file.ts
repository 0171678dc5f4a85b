import { type LogEntry, readEntries } from "../../train/watch/log-entry.ts";
import { LinesFile } from "./lines-file.ts";
import type { Sink } from "./sink.ts";

/** What a run's file of entries is called, in its folder. */
export const METRICS_FILE = "metrics.jsonl";

/**
 * `metrics.jsonl` of a run. One that goes on keeps the lines until its checkpoint, and drops those behind it, so that the
 * file tells of one run however often it was stopped.
 */
export class MetricsFile implements Sink {
  readonly #lines: LinesFile<LogEntry>;
  /** The last step that it tells of. */
  #last = 0;

  /** @param tell takes warnings */
  constructor(path: string, tell: (line: string) => void) {
    this.#lines = new LinesFile(path, tell, (text) => readEntries(text).entries);
  }

  /**
   * Keeps what there is until a step, and drops what is behind it.
   * @param source what is kept, where that is the file of another folder
   * @returns what stays
   */
  keepUntil(step: number, source?: string): LogEntry[] {
    this.#last = step;
    return this.#lines.keepUntil(step, source);
  }

  /** Adds the entry of a step, or of an evaluation behind it. Steps that come again, as after a lost device, take the place of the former. */
  add(entry: LogEntry): void {
    const isStep = "loss" in entry;
    if (isStep && entry.step <= this.#last) this.keepUntil(entry.step - 1);
    this.#last = Math.max(this.#last, entry.step);
    this.#lines.append(entry);
  }

  close(): void {
    this.#lines.close();
  }
}
