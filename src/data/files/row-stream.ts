import { fail, failAll, Problems } from "../../util/fail.ts";
import type { Mixture } from "../feed/order.ts";
import { checkColumnsKnown, withColumns } from "../rows/columns.ts";
import type { RowReader } from "../rows/rows.ts";
import { describeSkipped } from "../rows/skipped.ts";
import { isHeldOut } from "../rows/valid-split.ts";
import type { DataFile } from "./data-file.ts";
import type { ReadOptions } from "./file-rows.ts";
import { type IndexedRows, indexRows, type Spill } from "./indexed-rows.ts";
import { headerHint } from "./read-rows.ts";

/** A row that was read, and its place among the rows of all files, from 0. */
export interface PlacedRow<R> {
  /** What it holds. */
  readonly row: R;
  /** Where it is. */
  readonly place: number;
}

/** Files whose rows are used together, one behind another. */
export interface DataSets extends Mixture {
  /** What messages call each file. */
  readonly names: readonly string[];
}

/** Rows that are read from their files when they are needed. */
export interface RowStream<R> {
  /** What messages call the files. */
  readonly path: string;
  /** The files, how many rows each has, and how many of them are drawn. */
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

/** How many rows there are. */
export const rowsOf = ({ sets }: Pick<RowStream<unknown>, "sets">) =>
  sets.lengths.reduce((sum, length) => sum + length, 0);

/** Rows that are read at a time where all of them are. */
const READ_AT_ONCE = 1024;

/** All rows in their order, some of them in memory. */
export async function* eachRow<R>(stream: RowStream<R>): AsyncGenerator<PlacedRow<R>> {
  const rows = rowsOf(stream);
  for (let at = 0; at < rows; at += READ_AT_ONCE) yield* await stream.read(places(at, READ_AT_ONCE, rows));
}

const places = (from: number, count: number, end: number) =>
  Array.from({ length: Math.min(count, end - from) }, (_, i) => from + i);

/** Where the rows of a file are, and what reads them. */
interface StreamedFile<R extends object> {
  readonly path: string;
  readonly rows: IndexedRows;
  readonly reader: RowReader<R>;
  /** Which of its rows are meant; all unless given. */
  readonly kept?: Uint32Array;
  /** What can be done where its first row is of no use. */
  readonly hint?: string | undefined;
}

/** What a pass over all rows, before the first is used, finds out. */
export interface Survey<R> {
  /** Share of the rows that is held out to judge by. */
  readonly validSplit: number;
  /** Takes each row that is not held out. */
  onRow?(row: R): void;
}

/** How a stream is opened. */
export interface StreamOptions<R> extends ReadOptions, Omit<Mixture, "lengths"> {
  /** Where to unpack what cannot be read at any place. */
  readonly spill: Spill;
  /** Where something has to be known of all rows before. */
  readonly survey?: Survey<R> | undefined;
}

/**
 * Finds the rows of files, and no more, so that they can be read when they are needed.
 * @param reader makes what reads the rows of a file
 * @returns the rows to learn from, and those that are held out
 */
export async function openRowStream<R extends object>(
  files: readonly DataFile[],
  reader: () => RowReader<R>,
  options: StreamOptions<R>,
): Promise<{ train: RowStream<R>; held: RowStream<R> | undefined }> {
  const { columns = {}, header = true, onBadRow = "error", survey, spill } = options;
  const train: StreamedFile<R>[] = [];
  const held: StreamedFile<R>[] = [];
  const problems = new Problems();
  const { wanted } = reader();
  checkColumnsKnown(header, columns);
  for (const file of files) {
    const rows = await indexRows(file, spill, { header });
    const hint = headerHint(rows.format, header);
    if (rows.length === 0)
      fail(file.name, "has no rows", [`each row needs ${wanted}`, ...(hint ? [hint] : [])]);
    const opened = { path: file.name, rows, reader: withColumns(reader(), columns) };
    const [first] = await rows.read([0]); // which settles what the others have to be
    const isOdd =
      first && (typeof first.values === "string" || typeof opened.reader.read(first.values) === "string");
    const streamed = { ...opened, ...(isOdd && { hint }) };
    const found = survey && (await surveyed(streamed, survey, onBadRow, problems));
    train.push({ ...streamed, ...(found && { kept: found.kept }) });
    if (found) held.push({ ...streamed, kept: found.held });
  }
  if (onBadRow === "error") {
    const hints = train.flatMap(({ hint }) => hint ?? []);
    failAll(pathOf(train), problems, [`each row needs ${wanted}`, ...hints.slice(0, 1)]);
  }
  checkKinds(train);
  const isSplit = survey !== undefined && survey.validSplit > 0;
  return {
    train: new FilesStream(train, options, problems),
    held: isSplit ? new FilesStream(held, {}, new Problems()) : undefined,
  };
}

const pathOf = (files: readonly { readonly path: string }[]) => files.map(({ path }) => path).join(" + ");

function checkKinds<R extends object>(files: readonly StreamedFile<R>[]): void {
  const texts = files.filter(({ rows }) => rows.format === "txt");
  if (texts.length === 0 || texts.length === files.length) return;
  const what = `${texts[0]?.path} is plain text, and the others have rows`;
  fail("data", what, 'write it as rows: {"text": "…"}');
}

/** The places of the rows that are learnt from, and of those that are held out. */
async function surveyed<R extends object>(
  { rows, reader }: StreamedFile<R>,
  { validSplit, onRow }: Survey<R>,
  onBadRow: ReadOptions["onBadRow"],
  problems: Problems,
): Promise<{ kept: Uint32Array; held: Uint32Array }> {
  const kept: number[] = [];
  const held: number[] = [];
  for (let at = 0; at < rows.length; at += READ_AT_ONCE) {
    const read = await rows.read(places(at, READ_AT_ONCE, rows.length));
    for (const [i, { values }] of read.entries()) {
      const place = at + i;
      const row = typeof values === "string" ? values : reader.read(values);
      if (typeof row === "string") problems.push(() => `${rows.nameOf(place)}: ${row}`);
      else if (validSplit > 0 && isHeldOut(row, validSplit)) held.push(place);
      else {
        onRow?.(row);
        kept.push(place);
      }
    }
    if (onBadRow === "error" && problems.length > MOST_PROBLEMS) break;
  }
  return { kept: Uint32Array.from(kept), held: Uint32Array.from(held) };
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
    { onBadRow, weights, stopping }: Pick<StreamOptions<R>, "onBadRow" | "weights" | "stopping">,
    skipped: Problems,
  ) {
    const lengths = files.map(({ rows, kept }) => kept?.length ?? rows.length);
    this.path = pathOf(files);
    this.sets = { names: files.map(({ path }) => path), lengths, weights, stopping };
    this.isPlainText = files.every(({ rows }) => rows.format === "txt");
    this.#files = files;
    this.#skips = onBadRow === "skip";
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
    if (!this.#skips) {
      const hint = this.#files[this.#setOf(place)]?.hint;
      fail(name, problem, [
        "mend this row, or leave bad rows out: --on-bad-row skip",
        ...(hint === undefined ? [] : [hint]),
      ]);
    }
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
