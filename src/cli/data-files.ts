import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { DataFile } from "../data/files/data-file.ts";
import { type ReadOptions, readFileRows } from "../data/files/file-rows.ts";
import { ENDINGS, formatOf } from "../data/files/read-rows.ts";
import type { DataSets } from "../data/files/row-stream.ts";
import type { RowReader } from "../data/rows/rows.ts";
import { isHeldOut } from "../data/rows/valid-split.ts";
import { nodeDataFile } from "../platform/node-data-file.ts";
import { fail, failAll, LoraError } from "../util/fail.ts";
import { firstOf } from "../util/group-lines.ts";
import { count } from "./format.ts";

/** What a folder calls its parts, as mlx-lm or as Hugging Face's data sets; of several the first. */
export const PARTS = {
  train: ["train"],
  valid: ["valid", "validation", "dev"],
  test: ["test", "valid", "validation", "dev"],
} as const;

const EXTENSIONS = Object.keys(ENDINGS);
/** Whether a file's name is one of the folder's parts with an ending of a table. */
const isTable = (file: string, name: string) => {
  const plain = file.toLowerCase().replace(/\.gz$/, "");
  return EXTENSIONS.some((extension) => plain === name + extension);
};

/** Rows of one file. */
export interface RowFile<R> {
  readonly path: string;
  readonly rows: readonly R[];
  /** Whether they are pieces of one text, which go on in each other. */
  readonly isPlainText?: boolean;
  /** What messages call a row, by its place from 0: its file and line, mostly. */
  nameOf(place: number): string;
  /** What was left out, to be reported when the rows are used. */
  readonly notes?: readonly string[];
  /** The files, where these are several, and how many of their rows are drawn. */
  readonly sets?: DataSets;
}

/** Paths of training data: what to learn from, and what to judge by where there is any. */
export interface DataPaths {
  readonly train: string;
  readonly valid: string | undefined;
}

/** The files of a path: a file itself, or a folder with `train` and, if wanted, `valid`, `validation` or `dev`. */
export async function findTables(path: string, evalPath?: string): Promise<DataPaths> {
  const isWhole = !(await isGivenFolder(path, "data"));
  const train = isWhole ? path : await requireTable(path, PARTS.train);
  if (evalPath !== undefined) return { train, valid: await findTestTable(evalPath, "eval_data") };
  return { train, valid: isWhole ? undefined : await findTable(path, PARTS.valid) };
}

/** The file to evaluate on: the path itself, or `test`, else `valid`, of a folder. */
export async function findTestTable(path: string, option = "data"): Promise<string> {
  return (await isGivenFolder(path, option)) ? requireTable(path, PARTS.test) : path;
}

/** Settings that say how rows are read. */
export interface ReadSettings {
  /** The column for each name that a task knows. */
  readonly columns: Readonly<Record<string, string>>;
  readonly on_bad_row: "error" | "skip";
  /** Whether the first line of a table of cells names the columns. */
  readonly header: boolean;
}

const AS_IT_IS: ReadSettings = { columns: {}, on_bad_row: "error", header: true };

/** The same, as readers of files take it. */
export function readOptionsOf({ columns, on_bad_row: onBadRow, header }: ReadSettings): ReadOptions {
  return { columns, onBadRow, header };
}

/** What a task takes from the rows of a file. */
export async function readTable<T extends object>(
  file: string | DataFile,
  reader: RowReader<T>,
  settings = AS_IT_IS,
): Promise<RowFile<T>> {
  const opened = typeof file === "string" ? await nodeDataFile(file) : file;
  return { path: opened.name, ...(await readFileRows(opened, reader, readOptionsOf(settings))) };
}

/**
 * The rows in two parts, of which the second is to judge by.
 * @param share of the rows that are held out, about
 * @throws LoraError where one of them would be empty
 */
export function splitRows<R extends object>(file: RowFile<R>, share: number): [RowFile<R>, RowFile<R>] {
  const [held, rest]: [number[], number[]] = [[], []];
  for (const [place, row] of file.rows.entries()) (isHeldOut(row, share) ? held : rest).push(place);
  if (held.length === 0 || rest.length === 0) {
    const message = `${share} of the ${count(file.rows.length)} rows of ${file.path} leaves ${count(rest.length)} to learn from and ${count(held.length)} to judge by`;
    fail("valid_split", message, "give another share, or a file with --eval-data");
  }
  const part = (places: readonly number[], more: Partial<RowFile<R>>): RowFile<R> => ({
    ...file,
    ...more,
    rows: places.map((place) => file.rows[place] as R),
    nameOf: (place) => file.nameOf(places[place] as number),
  });
  const split = `  ${count(held.length)} of ${count(file.rows.length)} rows held out to judge by`;
  return [part(rest, { notes: [...(file.notes ?? []), split] }), part(held, { notes: [] })];
}

/** Whether a file's rows are lines of cells, which are texts, and not JSON. */
export function isTableOfCells(path: string): boolean {
  const format = formatOf(path);
  return format === "csv" || format === "tsv";
}

/** Reads files, all of them before it complains: one run shows everything that is to be mended. */
export async function readAll<R>(
  paths: readonly string[],
  read: (path: string) => Promise<RowFile<R>>,
): Promise<RowFile<R>[]> {
  const results = await Promise.allSettled(paths.map(read));
  const failures = results.flatMap((result) =>
    result.status === "rejected" ? [result.reason as unknown] : [],
  );
  if (failures.length > 1 && failures.every((failure) => failure instanceof LoraError)) {
    failAll("data", failures);
  }
  if (failures.length > 0) throw failures[0];
  return results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
}

/** The same of what is learnt from, and what is judged by. */
export async function readBoth<R>(
  { train, valid }: DataPaths,
  read: (path: string) => Promise<RowFile<R>>,
): Promise<{ train: RowFile<R>; valid: RowFile<R> | undefined }> {
  const [first, second] = await readAll(valid === undefined ? [train] : [train, valid], read);
  return { train: first as RowFile<R>, valid: second };
}

/**
 * Whether a path that was given is a folder.
 * @throws LoraError where there is nothing
 */
export async function isGivenFolder(path: string, option: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (!found) fail(option, `${path} is not there`, "give a file, or a folder that holds train and valid");
  return found.isDirectory();
}

/** Names of what a folder holds, without hidden ones. */
async function visibleNames(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => !name.startsWith(".")).sort();
}

/** The table of a folder that has the first of the names that is there. */
async function findTable(folder: string, names: readonly string[]): Promise<string | undefined> {
  const there = await visibleNames(folder);
  for (const name of names) {
    const found = there.filter((file) => isTable(file, name));
    if (found.length > 1) {
      fail(
        "data",
        `the folder ${folder} has ${found.join(" and ")}`,
        "give the path of the one that is meant",
      );
    }
    if (found[0] !== undefined) return join(folder, found[0]);
  }
  return undefined;
}

async function requireTable(folder: string, names: readonly string[]): Promise<string> {
  const found = await findTable(folder, names);
  if (found !== undefined) return found;
  const there = await visibleNames(folder);
  const holds = there.length > 0 ? `it holds ${firstOf(there)}` : "it is empty";
  const wanted = `${names.join(" or ")} with one of the endings ${EXTENSIONS.join(", ")} (also with .gz)`;
  return fail(
    "data",
    `the folder ${folder} has no ${names[0]}${EXTENSIONS[0]}; ${holds}`,
    `wanted ${wanted}`,
  );
}
