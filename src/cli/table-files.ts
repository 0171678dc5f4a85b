import { readdir, stat } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import { type Row, readJsonRows } from "../data/rows.ts";
import { fail } from "../util/fail.ts";
import { readCsvRows } from "./csv-file.ts";
import { readTextFile } from "./text-file.ts";

/** Files of training data: those to learn from, and those to judge by where there are any. */
export interface DataPaths {
  readonly train: string;
  readonly valid: string | undefined;
}

const TABLES = [".jsonl", ".csv", ".tsv"];
const VALID = ["valid", "validation", "dev"];
const TEST = ["test", ...VALID];

/** The files of a path: a table itself, or a folder with `train` and, if wanted, `valid`, `validation` or `dev`. */
export async function findTables(path: string, evalPath?: string): Promise<DataPaths> {
  if (!(await isFolder(path))) return { train: path, valid: evalPath };
  return {
    train: await requireNamed(path, ["train"], TABLES),
    valid: evalPath ?? (await findNamed(path, VALID, TABLES)),
  };
}

/** The table to evaluate on: the path itself, or `test`, else `valid`, of a folder. */
export async function findTestTable(path: string): Promise<string> {
  return (await isFolder(path)) ? requireNamed(path, TEST, TABLES) : path;
}

/** The rows of a `.jsonl`, `.csv` or `.tsv` file. */
export async function readTable(path: string): Promise<Row[]> {
  const extension = extname(path).toLowerCase();
  if (!TABLES.includes(extension)) fail("data", `${path} is no table`, `wanted one of ${TABLES.join(", ")}`);
  const text = await readTextFile(path);
  return extension === ".jsonl" ? readJsonRows(text, path) : readCsvRows(text, path);
}

/** Whether a file's rows are lines of cells, which are texts, and not JSON. */
export function isTableOfCells(path: string): boolean {
  return [".csv", ".tsv"].includes(extname(path).toLowerCase());
}

/** An image file and the name of its folder, which is its class. */
export interface ImageFile {
  readonly path: string;
  readonly label: string;
}

const IMAGES = /\.(?:png|jpe?g|webp|gif|tiff?)$/i;

/** The folders of a path: `train` and `valid`, `validation` or `test`, or the path itself. */
export async function findImageFolders(path: string, evalPath?: string): Promise<DataPaths> {
  if (!(await isFolder(path))) fail("data", `${path} is no folder`, "wanted a folder for each class");
  const train = (await findNamed(path, ["train"], [""])) ?? path;
  if (evalPath !== undefined && !(await isFolder(evalPath)))
    fail("eval_data", `${evalPath} is no folder`, "wanted a folder for each class");
  const valid = train === path ? undefined : await findNamed(path, [...VALID, "test"], [""]);
  return { train, valid: evalPath ?? valid };
}

/** The folder of images to evaluate on. */
export async function findTestImages(path: string): Promise<string> {
  if (!(await isFolder(path))) fail("data", `${path} is no folder`, "wanted a folder for each class");
  return (await findNamed(path, TEST, [""])) ?? path;
}

/** The images of a folder, whose subfolders are the classes. */
export async function listImages(folder: string): Promise<ImageFile[]> {
  const classes = (await readdir(folder, { withFileTypes: true })).filter((entry) => entry.isDirectory());
  const lists = await Promise.all(
    classes.map(async ({ name }) => {
      const files = (await readdir(join(folder, name))).filter((file) => IMAGES.test(file)).sort();
      return files.map((file) => ({ path: join(folder, name, file), label: name }));
    }),
  );
  const images = lists.flat().sort((a, b) => (a.path < b.path ? -1 : 1));
  if (images.length === 0) {
    fail("data", `${folder} holds no images`, "wanted a folder for each class, with PNG or JPEG files");
  }
  return images;
}

async function isFolder(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (!found) fail("data", `${path} is not there`, "give a file, or a folder that holds train and valid");
  return found.isDirectory();
}

/** The first of the names, with one of the extensions, that is in a folder. */
async function findNamed(
  folder: string,
  names: readonly string[],
  extensions: readonly string[],
): Promise<string | undefined> {
  const there = new Set(await readdir(folder));
  const wanted = names.flatMap((name) => extensions.map((extension) => name + extension));
  const found = wanted.find((name) => there.has(name));
  return found === undefined ? undefined : join(folder, found);
}

async function requireNamed(
  folder: string,
  names: readonly string[],
  extensions: readonly string[],
): Promise<string> {
  const found = await findNamed(folder, names, extensions);
  if (found !== undefined) return found;
  const wanted = names.flatMap((name) => extensions.map((extension) => name + extension)).join(", ");
  return fail("data", `the folder ${basename(folder)} has none of ${wanted}`);
}
