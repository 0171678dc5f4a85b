import { join } from "node:path";
import type { LogEntry } from "../../../train/watch/log-entry.ts";
import type { RunSamples, UpdateNorms } from "../../../train/watch/observer.ts";
import { messageOf } from "../../../util/fail.ts";
import { LinesFile } from "../lines-file.ts";
import { replaceFile } from "../replace-file.ts";
import type { RunAbout } from "../run-file.ts";
import type { Sink } from "../sink.ts";
import { FigureTable } from "./figures.ts";
import { isNorms, LOOKS_FILE, type Look, type Norms, readLooks } from "./looks.ts";
import { reportPage } from "./report-page.ts";

/** What a run's report is called, in its folder. */
export const REPORT_FILE = "report.html";

/** Milliseconds between two versions. */
const RENEWAL = 10_000;
/** Samples and warnings that are kept, the newest. */
const MOST_SAMPLES = 20;
const MOST_STRANGE = 100;

/** `report.html` of a run, renewed while it goes on: a reader finds the former version or the new one. */
export class ReportFile implements Sink {
  readonly #folder: string;
  readonly #tell: (line: string) => void;
  #about: RunAbout | undefined;
  readonly #figures = new FigureTable();
  readonly #strange: LogEntry[] = [];
  readonly #looks: LinesFile<Look>;
  readonly #norms: Norms[] = [];
  readonly #samples: RunSamples[] = [];
  #writtenAt = Number.NEGATIVE_INFINITY;
  #isTold = false;

  /** @param tell takes warnings */
  constructor(folder: string, tell: (line: string) => void) {
    this.#folder = folder;
    this.#tell = tell;
    this.#looks = new LinesFile(join(folder, LOOKS_FILE), tell, readLooks);
  }

  goOnFrom(step: number, entries: readonly LogEntry[], folder: string): void {
    for (const entry of entries) this.#take(entry);
    for (const look of this.#looks.keepUntil(step, join(folder, LOOKS_FILE))) this.#keep(look);
  }

  about(about: RunAbout): void {
    this.#about = about;
    if (about.status !== "running") this.#write();
  }

  add(entry: LogEntry): void {
    this.#take(entry);
    this.#renew();
  }

  #take(entry: LogEntry): void {
    this.#figures.add(entry);
    if (entry.warnings !== undefined || entry.fault !== undefined)
      keepNewest(this.#strange, entry, MOST_STRANGE);
  }

  norms({ changes: _, ...norms }: UpdateNorms): void {
    this.#keep(norms);
    this.#looks.append(norms);
  }

  samples(samples: RunSamples): void {
    this.#keep(samples);
    this.#looks.append(samples);
    this.#renew();
  }

  #keep(look: Look): void {
    if (isNorms(look)) this.#norms.push(look);
    else keepNewest(this.#samples, look, MOST_SAMPLES);
  }

  close(): void {
    this.#looks.close();
  }

  #renew(): void {
    if (performance.now() - this.#writtenAt >= RENEWAL) this.#write();
  }

  #write(): void {
    if (!this.#about) return;
    try {
      const page = reportPage({
        ...{ folder: this.#folder, about: this.#about, figures: this.#figures },
        ...{ strange: this.#strange, norms: this.#norms, samples: this.#samples },
      });
      replaceFile(join(this.#folder, REPORT_FILE), page);
    } catch (error) {
      if (!this.#isTold)
        this.#tell(`warning: ${REPORT_FILE} is not written, the training goes on: ${messageOf(error)}`);
      this.#isTold = true;
    }
    this.#writtenAt = performance.now();
  }
}

function keepNewest<T>(list: T[], item: T, most: number): void {
  list.push(item);
  if (list.length > most) list.shift();
}
