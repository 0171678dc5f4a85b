import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { fail, failAll } from "../util/fail.ts";
import { firstOf } from "../util/group-lines.ts";
import { type DataPaths, isGivenFolder, PARTS } from "./data-files.ts";
import { count } from "./format.ts";

/** An image file and the name of its folder, which is its class. */
export interface ImageFile {
  readonly path: string;
  readonly label: string;
}

/** The images of a folder of classes. */
export interface ImageFolder {
  readonly images: readonly ImageFile[];
  /** What was left out, to be reported. */
  readonly notes: readonly string[];
}

const IMAGES = /\.(?:png|jpe?g|jpe|jfif|webp|gif|tiff?|bmp|dib)$/i;
/** Files that Pillow may open, and this does not. */
const OTHER_IMAGES = /\.(?:avif|heic|heif|apng|jp2|j2k|ppm|pgm|pbm|pnm|ico|icns|tga|svg|psd|eps|pcx|dds)$/i;
const HELP = "wanted a folder for each class, with PNG, JPEG, WebP, GIF, TIFF or BMP files";

/** The folders of a path: `train` and `valid`, `validation`, `dev` or `test`, or the path itself. */
export async function findImageFolders(path: string, evalPath?: string): Promise<DataPaths> {
  await requireFolder(path, "data");
  if (evalPath !== undefined) await requireFolder(evalPath, "eval_data");
  const train = await findFolder(path, PARTS.train);
  if (train === undefined) return { train: path, valid: evalPath };
  return { train, valid: evalPath ?? (await findFolder(path, [...PARTS.valid, ...PARTS.test])) };
}

/** The folder of images to evaluate on. */
export async function findTestImages(path: string): Promise<string> {
  await requireFolder(path, "data");
  return (await findFolder(path, PARTS.test)) ?? path;
}

async function requireFolder(path: string, option: string): Promise<void> {
  if (!(await isGivenFolder(path, option))) fail(option, `${path} is no folder`, HELP);
}

/** The first of the names that is a folder of folders; one of images alone is a class (a train among cars). */
async function findFolder(folder: string, names: readonly string[]): Promise<string | undefined> {
  const { folders } = await look(folder);
  for (const name of names.filter((name) => folders.includes(name))) {
    const path = join(folder, name);
    if ((await look(path)).folders.length > 0) return path;
  }
  return undefined;
}

/**
 * The images of a folder, whose subfolders are the classes. Hidden files and folders, and folders whose names begin
 * with two underscores, are nothing, as for `imagefolder` of Hugging Face's data sets.
 * @throws LoraError where there are none, or where folders in a class leave open what the class is
 */
export async function listImages(folder: string): Promise<ImageFolder> {
  const { folders, files } = await look(folder);
  const classes = await Promise.all(
    folders.map(async (label) => ({ label, ...(await look(join(folder, label))) })),
  );
  await refuseNested(folder, classes);
  const images = classes.flatMap(({ label, files: names }) =>
    names.filter((name) => IMAGES.test(name)).map((name) => ({ path: join(folder, label, name), label })),
  );
  if (images.length === 0) fail("data", `${folder} holds no images in folders`, HELP);
  const others = classes.flatMap((found) => found.files.filter((name) => OTHER_IMAGES.test(name)));
  const empty = classes.filter(({ label }) => !images.some((image) => image.label === label));
  const loose = files.filter((name) => IMAGES.test(name) || OTHER_IMAGES.test(name));
  const tables = files.filter((name) => /^metadata\.(?:csv|jsonl|parquet)$/i.test(name));
  const notes = [
    ...noteOn(others, "in a format that is not read"),
    ...noteOn(loose, "beside the folders of the classes"),
    ...noteOn(tables, "since an image's class is its folder", "file"),
    ...noteOn(
      empty.map(({ label }) => label),
      "without an image",
      "folder",
    ),
  ];
  return { images, notes };
}

function noteOn(names: readonly string[], what: string, noun = "image"): string[] {
  if (names.length === 0) return [];
  return [
    `  ${count(names.length)} ${noun}${names.length === 1 ? "" : "s"} left out, ${what}: ${firstOf(names, 3)}`,
  ];
}

/** In a folder within a class torchvision sees the outer folder's class, Hugging Face's data sets the inner one's. */
async function refuseNested(
  folder: string,
  classes: readonly { label: string; folders: readonly string[] }[],
): Promise<void> {
  const inner = classes.flatMap(({ label, folders }) => folders.map((name) => join(label, name)));
  const holdImages = await Promise.all(inner.map((path) => hasImages(join(folder, path))));
  const nested = inner.filter((_, i) => holdImages[i]);
  const problems = nested.map((path) => `${path} holds images inside the folder of a class`);
  failAll(folder, problems, "put all images of a class directly into its folder");
}

async function hasImages(folder: string): Promise<boolean> {
  const { folders, files } = await look(folder);
  if (files.some((name) => IMAGES.test(name))) return true;
  for (const name of folders) if (await hasImages(join(folder, name))) return true;
  return false;
}

/** The folders and files in a folder, links followed, without those that `datasets` ignores. */
async function look(folder: string): Promise<{ folders: string[]; files: string[] }> {
  const folders: string[] = [];
  const files: string[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.name.startsWith(".")) continue;
    const isLink = entry.isSymbolicLink();
    const kind = isLink ? await stat(join(folder, entry.name)).catch(() => undefined) : entry;
    if (kind?.isDirectory()) {
      if (!entry.name.startsWith("__")) folders.push(entry.name);
    } else if (kind?.isFile()) files.push(entry.name);
  }
  return { folders: folders.sort(), files: files.sort() };
}
