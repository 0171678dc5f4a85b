import { fail } from "../../util/fail.ts";
import { isObject, type JsonObject } from "../../util/json.ts";
import { checkOptions, objectOf, required } from "../../util/options.ts";
import { parseJson, parsePythonJson } from "../json/parse.ts";
import { decodeText } from "./text.ts";

/** A repository of the hub, at one of its revisions. */
export interface HubRepository {
  /** `owner/name`. */
  readonly repo: string;
  /** Branch, tag or commit that was asked for; `main` where none was. */
  readonly revision: string | undefined;
  /** The commit that this stood for when the files were read, where that is known. */
  readonly commit?: string | undefined;
}

/** Read-only named files of one folder, one URL or one hub repository. Names use `/` and stay inside. */
export interface FileSource {
  /** What the files belong to, for error messages: a path, a URL or a hub id. */
  readonly label: string;
  /** Length in bytes, or undefined where there is no such file. */
  size(name: string): Promise<number | undefined>;
  /** The bytes [start, end); the range must lie inside the file. */
  read(name: string, start: number, end: number): Promise<Uint8Array>;
  /**
   * Names of the files of the folder, or of a sub-folder (none where it is missing), without those further down, where
   * the source can tell (a hub or a URL cannot).
   */
  list?(folder?: string): Promise<readonly string[]>;
  /** Names of the sub-folders, where the source can tell. */
  folders?(): Promise<readonly string[]>;
  /**
   * Names of all files, with `/` where they lie in sub-folders, of a source that has to ask a server for them; undefined
   * where that does not tell.
   */
  index?(): Promise<readonly string[] | undefined>;
  /** The repository of the hub that the files are of, wherever they are read from. */
  readonly hub?: HubRepository;
  /** The commit that the files are of, by what was read of them until now; undefined where nobody told. */
  commit?(): Promise<string | undefined>;
  /** What to do where a file is missing, for messages: where the source knows better than "check the name". */
  readonly absence?: string;
}

const FILES = required(
  objectOf("files, as folderFiles or memoryFiles give them", (files) => "size" in files && "read" in files),
);

/** @throws LoraError where what is given is no source of files */
export function requireFiles(where: string, files: FileSource): void {
  checkOptions(where, { files }, { files: FILES });
}

/** What can be written to a file; an iterable is written piece by piece, never held whole. */
export type FileContent = Uint8Array | string | AsyncIterable<Uint8Array>;

/** Whether a file of this name, with `/` where it lies in a sub-folder, is one that others take the place of. */
export type Superseded = (name: string) => boolean;

/** Writes files of one folder. */
export interface FolderWriter {
  /**
   * Writes all of `files` or none: on failure the folder holds what it held before. The first file is the one without
   * which nobody reads the others, such as a configuration.
   * @param superseded which other files of the folder and its direct sub-folders go, so that nobody reads them together
   * with the new ones
   * @returns the names of those
   */
  write(files: ReadonlyMap<string, FileContent>, superseded?: Superseded): Promise<readonly string[]>;
}

/** Files that lie in memory. */
export function memoryFiles(label: string, files: ReadonlyMap<string, Uint8Array>): FileSource {
  return {
    label,
    size: async (name) => files.get(name)?.length,
    read: async (name, start, end) => {
      const bytes = files.get(name) ?? failMissing({ label }, name);
      checkRange({ label, name, size: bytes.length, start, end });
      return bytes.subarray(start, end);
    },
    ...namesOf(files),
  };
}

/** Files that a page was given, such as those of a folder that was dropped, by names with `/`; read by parts. */
export function blobFiles(label: string, files: ReadonlyMap<string, Blob>): FileSource {
  return {
    label,
    size: async (name) => files.get(name)?.size,
    read: async (name, start, end) => {
      const blob = files.get(name) ?? failMissing({ label }, name);
      checkRange({ label, name, size: blob.size, start, end });
      return new Uint8Array(await blob.slice(start, end).arrayBuffer());
    },
    ...namesOf(files),
  };
}

function namesOf(files: ReadonlyMap<string, unknown>): Required<Pick<FileSource, "list" | "folders">> {
  return {
    list: async (folder) => {
      const start = folder === undefined ? "" : `${folder}/`;
      const below = [...files.keys()].filter((name) => name.startsWith(start));
      return below.map((name) => name.slice(start.length)).filter((name) => !name.includes("/"));
    },
    folders: async () => {
      const inside = [...files.keys()].filter((name) => name.includes("/"));
      return [...new Set(inside.map((name) => name.slice(0, name.indexOf("/"))))];
    },
  };
}

/** Files that list a vocabulary or all tensors: the largest that are published have half of this. Others are small. */
const LARGE = /(?:^|\/)(?:tokenizer\.json|vocab\.\w+|merges\.txt|.*\.index\.json)$/;
const LARGE_BYTES = 2 ** 26;
const SMALL_BYTES = 2 ** 24;

/**
 * A whole UTF-8 file without a byte-order mark.
 * @param limit bytes that it may have
 * @throws LoraError where it is missing, is no UTF-8 or is larger than such a file can be
 */
export async function readText(
  files: FileSource,
  name: string,
  limit = LARGE.test(name) ? LARGE_BYTES : SMALL_BYTES,
): Promise<string> {
  const size = (await files.size(name)) ?? failMissing(files, name);
  const where = `${files.label}/${name}`;
  if (size > limit) fail(where, `has ${size} bytes; such a file may have ${limit}`, "is it the right file?");
  return decodeText(await files.read(name, 0, size), where).replace(/^\uFEFF/, "");
}

/** The file of a tokenizer, which Rust reads; Python reads the others, and takes NaN and Infinity for numbers. */
const RUSTS_FILE = "tokenizer.json";

/**
 * A whole JSON file.
 * @throws LoraError where it is missing, invalid or has a key twice, with the line and column
 */
export async function readJson(files: FileSource, name: string): Promise<unknown> {
  const parse = name === RUSTS_FILE ? parseJson : parsePythonJson;
  return parse(await readText(files, name), `${files.label}/${name}`);
}

/** As {@link readJson}; undefined where there is no such file. */
export async function readOptionalJson(files: FileSource, name: string): Promise<unknown> {
  return (await files.size(name)) === undefined ? undefined : readJson(files, name);
}

/** As {@link readJson}, of a file that must hold an object. */
export async function readObject(files: FileSource, name: string, help?: string): Promise<JsonObject> {
  const json = await readJson(files, name);
  return isObject(json) ? json : fail(`${files.label}/${name}`, "expected a JSON object", help);
}

/** As {@link readObject}; undefined where there is no such file. */
export async function readOptionalObject(
  files: FileSource,
  name: string,
  help?: string,
): Promise<JsonObject | undefined> {
  return (await files.size(name)) === undefined ? undefined : readObject(files, name, help);
}

/** Which of these files are there. */
export async function existing(files: FileSource, names: readonly string[]): Promise<string[]> {
  const sizes = await Promise.all(names.map((name) => files.size(name)));
  return names.filter((_, i) => sizes[i] !== undefined);
}

/** Whether a file name could lead out of its folder: absolute, a drive, a backslash, or a `..` segment. */
export function leavesFolder(name: string): boolean {
  if (name === "" || name.startsWith("/") || /[\\\0]|^[A-Za-z]:/.test(name)) return true;
  return name.split("/").some((segment) => segment === ".." || segment === "." || segment === "");
}

/** Throws: the source has no file of this name. */
export function failMissing({ label, absence }: Pick<FileSource, "label" | "absence">, name: string): never {
  const help = absence ?? `check the name, and that ${label} is the right place`;
  fail(`${label}/${name}`, "no such file", help);
}

/** Throws unless [start, end) lies inside a file of `size` bytes. */
export function checkRange(range: {
  label: string;
  name: string;
  size: number;
  start: number;
  end: number;
}): void {
  const { label, name, size, start, end } = range;
  const whole = Number.isSafeInteger(start) && Number.isSafeInteger(end);
  if (whole && 0 <= start && start <= end && end <= size) return;
  fail(
    `${label}/${name}`,
    `cannot read bytes [${start}, ${end}) of a file of ${size} bytes`,
    "has it changed? read it again",
  );
}
