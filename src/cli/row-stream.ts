import type { Mixture } from "../data/feed/order.ts";
import { type IndexedRows, indexRows } from "../data/files/indexed-rows.ts";
import { withColumns } from "../data/rows/columns.ts";
import type { RowReader } from "../data/rows/rows.ts";
import { isHeldOut } from "../data/rows/valid-split.ts";
import { nodeDataFile } from "../platform/node-data-file.ts";
import { nodeSpill } from "../platform/node-spill.ts";
import { fail, failAll, Problems } from "../util/fail.ts";
import {
  checkColumnsKnown,
  type DataSets,
  describeSkipped,
  type ReadSettings,
  type RowFile,
} from "./data-files.ts";

/** A row that was read, and its place among the rows of all files, from 0. */
export interface PlacedRow<R> {
  readonly row: R;
  readonly place: number;
}

/** Rows that are read from their files when they are needed. */
export interface RowStream<R> {
  /** What messages call the files. */
  readonly path: string;
  readonly sets: DataSets;
  /** Names of the classes, where the task has any. */
  readonly labels?: readonly string[] | undefined;
  /** Whether they are pieces of texts, which go on in each other. */
  readonly isPlainText: boolean;
  /**
   * The rows at these places, in their order; those that cannot be used are left out where that is no error.
   * @throws LoraError naming the row that cannot be used, or a file that has changed
   */
  read(places: readonly number[]): Promise<PlacedRow<R>[]>;
  /** What messages call the row at a place. */
  nameOf(place: number): string;
  /** What was left out of rows so far, and is not told yet. */
  notes(): readonly string[];
  /** Notes a row that turns out to be of no use: an error, or left out. */
  refuse(place: number, problem: string): void;
}

/** Whether rows are read when they are needed. */
export const isRowStream = <R>(rows: RowFile<R> | RowStream<R>): rows is RowStream<R> => "read" in rows;

/** Where the rows of a file are, and what reads them. */
interface StreamedFile<R extends object> {
  readonly path: string;
  readonly rows: IndexedRows;
  readonly reader: RowReader<R>;
  /** Which of its rows are learnt from; all unless given. */
  readonly kept?: Uint32Array;
}

/** What a pass over all rows, before the first step, finds out. */
export interface Survey<R> {
  /** Share of the rows that is held out to judge by. */
  readonly validSplit: number;
  /** Takes each row that is learnt from. */
  onRow?(row: R): void;
}

/** Rows that a pass reads at a time. */
const SURVEYED = 4096;

/**
 * Finds the rows of files, and no more, so that they can be read when they are needed.
 * @param survey where something has to be known of all rows before
 * @returns the rows to learn from, and those that are held out, which are in memory
 */
export async function openRowStream<R extends object>(
  paths: readonly string[],
  reader: () => RowReader<R>,
  settings: ReadSettings & Omit<Mixture, "lengths">,
  survey: Survey<R> | undefined,
): Promise<{ train: RowStream<R>; held: RowFile<R> | undefined }> {
  const files: StreamedFile<R>[] = [];
  const problems = new Problems();
  const held: { row: R; name: string }[] = [];
  checkColumnsKnown(settings);
  for (const path of paths) {
    const rows = await indexRows(await nodeDataFile(path), nodeSpill, settings);
    if (rows.length === 0) fail(path, "has no rows", `each row needs ${reader().wanted}`);
    const file = { path, rows, reader: withColumns(reader(), settings.columns) };
    if (survey) {
      files.push({ ...file, kept: await surveyed(file, survey, settings.on_bad_row, problems, held) });
    } else {
      const [first] = await rows.read([0]); // which settles what the others have to be
      if (first && typeof first.values !== "string") file.reader.read(first.values);
      files.push(file);
    }
  }
  if (settings.on_bad_row === "error") failAll(pathOf(paths), problems, `each row needs ${reader().wanted}`);
  checkKinds(files);
  return {
    train: new FilesStream(files, settings, problems),
    held: survey && survey.validSplit > 0 ? heldFile(paths, held) : undefined,
  };
}

const pathOf = (paths: readonly string[]) => paths.join(" + ");

function checkKinds<R extends object>(files: readonly StreamedFile<R>[]): void {
  const texts = files.filter(({ rows }) => rows.format === "txt");
  if (texts.length === 0 || texts.length === files.length) return;
  fail(
    "data",
    `${texts[0]?.path} is plain text, and the others have rows`,
    'write it as rows: {"text": "…"}',
  );
}

function heldFile<R>(
  paths: readonly string[],
  held: readonly { readonly row: R; readonly name: string }[],
): RowFile<R> {
  return {
    path: pathOf(paths),
    rows: held.map(({ row }) => row),
    nameOf: (place) => held[place]?.name ?? "",
  };
}

/** The places of the rows that are learnt from. */
async function surveyed<R extends object>(
  { rows, reader }: StreamedFile<R>,
  { validSplit, onRow }: Survey<R>,
  onBadRow: ReadSettings["on_bad_row"],
  problems: Problems,
  held: { row: R; name: string }[],
): Promise<Uint32Array> {
  const kept: number[] = [];
  for (let at = 0; at < rows.length; at += SURVEYED) {
    const places = Array.from({ length: Math.min(SURVEYED, rows.length - at) }, (_, i) => at + i);
    for (const [i, { values }] of (await rows.read(places)).entries()) {
      const place = at + i;
      const row = typeof values === "string" ? values : reader.read(values);
      if (typeof row === "string") problems.push(() => `${rows.nameOf(place)}: ${row}`);
      else if (validSplit > 0 && isHeldOut(row, validSplit)) held.push({ row, name: rows.nameOf(place) });
      else {
        onRow?.(row);
        kept.push(place);
      }
    }
    if (onBadRow === "error" && problems.length > MOST_PROBLEMS) break;
  }
  return Uint32Array.from(kept);
}

/** After so many bad rows it is certain that the file is of another kind. */
const MOST_PROBLEMS = 100_000;

class FilesStream<R extends object> implements RowStream<R> {
  readonly path: string;
  readonly sets: DataSets;
  readonly isPlainText: boolean;
  readonly #files: readonly StreamedFile<R>[];
  readonly #skips: boolean;
  /** The place of the first row of each file. */
  readonly #starts: readonly number[];
  #problems: Problems;
  /** Rows that were left out, since each pass reads them again. */
  readonly #left = new Set<number>();

  constructor(
    files: readonly StreamedFile<R>[],
    { on_bad_row, weights, stopping }: ReadSettings & Omit<Mixture, "lengths">,
    skipped: Problems,
  ) {
    const lengths = files.map(({ rows, kept }) => kept?.length ?? rows.length);
    this.path = pathOf(files.map(({ path }) => path));
    this.sets = { names: files.map(({ path }) => path), lengths, weights, stopping };
    this.isPlainText = files.every(({ rows }) => rows.format === "txt");
    this.#files = files;
    this.#skips = on_bad_row === "skip";
    this.#starts = lengths.map((_, i) => lengths.slice(0, i).reduce((sum, length) => sum + length, 0));
    this.#problems = skipped;
  }

  async read(places: readonly number[]): Promise<PlacedRow<R>[]> {
    const read = new Map<number, R>();
    for (const [set, file] of this.#files.entries()) {
      const own = places.filter((place) => this.#setOf(place) === set);
      const rows = await file.rows.read(own.map((place) => this.#inFile(place, set)));
      for (const [i, { values }] of rows.entries()) {
        const place = own[i] as number;
        const row = typeof values === "string" ? values : file.reader.read(values);
        if (typeof row === "string") this.refuse(place, row);
        else read.set(place, row);
      }
    }
    return places.flatMap((place) => {
      const row = read.get(place);
      return row === undefined ? [] : [{ row, place }];
    });
  }

  nameOf(place: number): string {
    const set = this.#setOf(place);
    return this.#files[set]?.rows.nameOf(this.#inFile(place, set)) ?? "";
  }

  refuse(place: number, problem: string): void {
    const name = this.nameOf(place);
    if (!this.#skips) fail(name, problem, "mend this row, or leave bad rows out: --on-bad-row skip");
    if (this.#left.has(place)) return;
    this.#left.add(place);
    this.#problems.push(`${name}: ${problem}`);
  }

  notes(): readonly string[] {
    const told = describeSkipped(this.#problems);
    this.#problems = new Problems();
    return told;
  }

  #setOf(place: number): number {
    return this.#starts.findLastIndex((start) => start <= place);
  }

  #inFile(place: number, set: number): number {
    const at = place - (this.#starts[set] as number);
    return this.#files[set]?.kept?.[at] ?? at;
  }
}
