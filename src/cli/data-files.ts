import { access, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Example, readExamples } from "../data/jsonl.ts";
import { folderFiles } from "../platform/node-files.ts";
import { fail, LoraError } from "../util/fail.ts";
import { readTextFile } from "./text-file.ts";

/** The rows of one JSONL file. */
export interface ExampleFile {
  readonly path: string;
  readonly examples: readonly Example[];
}

/** The rows to train on and, if there are any, those to evaluate on. */
export interface TrainingData {
  readonly train: ExampleFile;
  readonly valid: ExampleFile | undefined;
}

/**
 * Reads a `.jsonl` file, or a folder laid out as mlx-lm's: `train.jsonl` and, if wanted, `valid.jsonl`.
 * @param evalPath a file to evaluate on instead
 * @throws LoraError listing every bad line of every file.
 */
export async function readTrainingData(path: string, evalPath?: string): Promise<TrainingData> {
  const isFolder = await checkIsFolder(path);
  const validPath = evalPath ?? (isFolder ? await firstThere(path, ["valid.jsonl"]) : undefined);
  const trainPath = isFolder ? await requireOne(path, ["train.jsonl"]) : path;
  const [train, valid] = await readAll([trainPath, ...(validPath === undefined ? [] : [validPath])]);
  return { train: train as ExampleFile, valid };
}

/** Reads a `.jsonl` file, or `test.jsonl`, else `valid.jsonl`, of a folder. */
export async function readEvaluationData(path: string): Promise<ExampleFile> {
  const isFolder = await checkIsFolder(path);
  return readExampleFile(isFolder ? await requireOne(path, ["test.jsonl", "valid.jsonl"]) : path);
}

async function checkIsFolder(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (!found) fail("data", `${path} is not there`, "give a .jsonl file, or a folder that holds train.jsonl");
  return found.isDirectory();
}

async function firstThere(folder: string, names: readonly string[]): Promise<string | undefined> {
  for (const name of names) {
    const path = join(folder, name);
    const isThere = await access(path).then(
      () => true,
      () => false,
    );
    if (isThere) return path;
  }
  return undefined;
}

async function requireOne(folder: string, names: readonly string[]): Promise<string> {
  const path = await firstThere(folder, names);
  if (path !== undefined) return path;
  const there = (await folderFiles(folder).list?.()) ?? [];
  const found = there.length > 0 ? `it holds ${there.slice(0, 20).join(", ")}` : "it is empty";
  return fail("data", `the folder ${folder} has no ${names.join(" or ")}; ${found}`);
}

/** Reads all files before it complains, so that one run shows everything that is to be mended. */
async function readAll(paths: readonly string[]): Promise<ExampleFile[]> {
  const results = await Promise.allSettled(paths.map(readExampleFile));
  const failures = results.flatMap((result) =>
    result.status === "rejected" ? [result.reason as unknown] : [],
  );
  if (failures.length > 1 && failures.every((failure) => failure instanceof LoraError)) {
    fail("data", failures.map(({ message }) => message).join("\n"));
  }
  if (failures.length > 0) throw failures[0];
  return results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
}

async function readExampleFile(path: string): Promise<ExampleFile> {
  const text = await readTextFile(path);
  return { path, examples: readExamples(text, path) };
}
