import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { ENDINGS, formatOf, openRows } from "../data/files/read-rows.ts";
import { collectPlacedRows, type RowReader } from "../data/rows.ts";
import { nodeDataFile } from "../platform/node-data-file.ts";
import { fail, failAll, LoraError } from "../util/fail.ts";

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
}

/** Paths of training data: what to learn from, and what to judge by where there is any. */
export interface DataPaths {
  readonly train: string;
  readonly valid: string | undefined;
}

/** The files of a path: a file itself, or a folder with `train` and, if wanted, `valid`, `validation` or `dev`. */
export async function findTables(path: string, evalPath?: string): Promise<DataPaths> {
  const isWhole = !(await isFolder(path, "data"));
  const train = isWhole ? path : await requireTable(path, PARTS.train);
  if (evalPath !== undefined) return { train, valid: await findTestTable(evalPath, "eval_data") };
  return { train, valid: isWhole ? undefined : await findTable(path, PARTS.valid) };
}

/** The file to evaluate on: the path itself, or `test`, else `valid`, of a folder. */
export async function findTestTable(path: string, option = "data"): Promise<string> {
  return (await isFolder(path, option)) ? requireTable(path, PARTS.test) : path;
}

/** What a task takes from the rows of a file. */
export async function readTable<T extends object>(path: string, reader: RowReader<T>): Promise<RowFile<T>> {
  const { format, groups, nameOf } = await openRows(await nodeDataFile(path));
  const { items, lines } = await collectPlacedRows(groups, path, reader, nameOf);
  return {
    path,
    rows: items,
    isPlainText: format === "txt",
    nameOf: (place) => nameOf(lines[place] as number),
    notes: reader.notes?.() ?? [],
  };
}

/** Whether a file's rows are lines of cells, which are texts, and not JSON. */
export function isTableOfCells(path: string): boolean {
  const format = formatOf(path);
  return format === "csv" || format === "tsv";
}

/** Reads the files of training data, all of them before it complains: one run shows everything that is to be mended. */
export async function readBoth<R>(
  { train, valid }: DataPaths,
  read: (path: string) => Promise<RowFile<R>>,
): Promise<{ train: RowFile<R>; valid: RowFile<R> | undefined }> {
  const results = await Promise.allSettled([read(train), valid === undefined ? undefined : read(valid)]);
  const failures = results.flatMap((result) =>
    result.status === "rejected" ? [result.reason as unknown] : [],
  );
  if (failures.length > 1 && failures.every((failure) => failure instanceof LoraError)) {
    failAll("data", failures);
  }
  if (failures.length > 0) throw failures[0];
  const [first, second] = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  return { train: first as RowFile<R>, valid: second };
}

/** @throws LoraError where there is nothing */
export async function isFolder(path: string, option: string): Promise<boolean> {
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
  const holds = there.length > 0 ? `it holds ${there.slice(0, 20).join(", ")}` : "it is empty";
  const wanted = `${names.join(" or ")} with one of the endings ${EXTENSIONS.join(", ")} (also with .gz)`;
  return fail(
    "data",
    `the folder ${folder} has no ${names[0]}${EXTENSIONS[0]}; ${holds}`,
    `wanted ${wanted}`,
  );
}
