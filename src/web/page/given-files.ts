// What the user drops or chooses: files and folders, and what they are.
import { fail } from "../../util/fail.ts";

/** Files that were given, by their paths from where they were taken. */
export interface Given {
  /** What the folder or the file is called. */
  readonly label: string;
  readonly files: ReadonlyMap<string, Blob>;
  /** The folder, where the browser gives one that can be remembered. */
  readonly handle?: FileSystemDirectoryHandle;
}

/** What given files are. */
export type GivenKind = "model" | "adapter" | "rows";

/** Most files of a folder: one of a model has some dozens, and who drops a disk did not mean it. */
const MOST_FILES = 2000;

/** The files of a drop, which must be asked for before anything is waited for. */
export function filesOfDrop({ items, files }: DataTransfer): Promise<Given> {
  const dropped = Array.from(items).filter(({ kind }) => kind === "file");
  const handles = dropped.map((item) => (item as HandleGiver).getAsFileSystemHandle?.());
  const entries = dropped.map((item) => item.webkitGetAsEntry());
  const plain = Array.from(files);
  return (async () => {
    const [handle] = await Promise.all(handles);
    if (handle?.kind === "directory") return filesOfFolder(handle as FileSystemDirectoryHandle);
    const [entry] = entries;
    if (entry?.isDirectory) return { label: entry.name, files: await filesOfEntry(entry) };
    return filesOfList(plain);
  })();
}

/** The files of a folder of the user's, with those of its direct sub-folders. */
export async function filesOfFolder(handle: FileSystemDirectoryHandle): Promise<Given> {
  const files = new Map<string, Blob>();
  for await (const entry of handle.values()) {
    if (entry.kind === "file") files.set(entry.name, await entry.getFile());
    else
      for await (const inner of entry.values())
        if (inner.kind === "file") files.set(`${entry.name}/${inner.name}`, await inner.getFile());
    checkCount(handle.name, files.size);
  }
  return { label: handle.name, files, handle };
}

/** What several files are called that no folder holds. */
const LOOSE_FILES = "your files";

/** The files of a field for files, or for a folder (`webkitdirectory`). */
export function filesOfList(list: readonly File[]): Given {
  const [first] = list;
  if (!first) fail("files", "nothing was given", "drop or choose files");
  const folder = first.webkitRelativePath.split("/")[0];
  const pathOf = (file: File) => (folder ? file.webkitRelativePath.slice(folder.length + 1) : file.name);
  const label = folder || (list.length > 1 ? LOOSE_FILES : first.name);
  checkCount(label, list.length);
  return { label, files: new Map(list.map((file) => [pathOf(file), file])) };
}

function checkCount(label: string, count: number): void {
  if (count > MOST_FILES)
    fail(label, `holds more than ${MOST_FILES} files`, "give the folder of the model alone");
}

/**
 * What was given: an adapter also in a zip, or in a folder of its own.
 * @throws LoraError where it is nothing that the page can use
 */
export async function settleGiven(given: Given): Promise<Given & { readonly kind: GivenKind }> {
  const opened = await unpacked(given);
  const { files } = opened;
  const names = [...files.keys()];
  const config = names.find((name) => /(?:^|\/)adapter_config\.json$/.test(name));
  if (config !== undefined) {
    const folder = config.slice(0, config.lastIndexOf("/") + 1);
    const label = opened.label === LOOSE_FILES ? "adapter" : opened.label.replace(LOOSE, "adapter");
    return { kind: "adapter", label, files: below(files, folder) };
  }
  const loose = names.find((name) => LOOSE.test(name));
  if (loose !== undefined)
    fail(loose, "is half of an adapter", "adapter_config.json belongs to it: choose or drop both together");
  const gguf = names.find((name) => /\.gguf$/i.test(name));
  if (gguf !== undefined && names.length === 1 && (await isAdapterInGguf(files.get(gguf) as Blob)))
    return { ...opened, kind: "adapter" };
  if (gguf !== undefined || names.some((name) => name === "config.json" || name.endsWith(".safetensors")))
    return { ...opened, kind: "model" };
  if (names.length === 1 && ROWS.test(names[0] as string)) return { ...opened, kind: "rows" };
  if (names.every((name) => ROWS.test(name)))
    fail(
      opened.label,
      `are ${names.length} files of examples`,
      "give one at a time, or put them into one file",
    );
  return fail(
    opened.label,
    "is neither a model, nor an adapter, nor a file of examples",
    "a model is a folder with config.json and model.safetensors, or a GGUF file; an adapter has adapter_config.json; examples are JSONL, JSON, CSV, TSV, Parquet or text",
  );
}

/** The files of an adapter, where they are no folder's. */
const LOOSE = /^adapter(?:_config\.json|_model\.\w+|s\.(?:safetensors|npz))$/;

/** Endings of files with rows. */
const ROWS = /\.(?:jsonl|ndjson|json|csv|tsv|txt|parquet)(?:\.gz)?$/i;

function below(files: ReadonlyMap<string, Blob>, folder: string): Map<string, Blob> {
  const inside = [...files].filter(
    ([name]) => name.startsWith(folder) && !name.slice(folder.length).includes("/"),
  );
  return new Map(inside.map(([name, blob]) => [name.slice(folder.length), blob]));
}

/** Where the metadata of a GGUF file stand that say what it is. */
const GGUF_HEAD_BYTES = 65_536;

async function isAdapterInGguf(file: Blob): Promise<boolean> {
  const head = await file.slice(0, GGUF_HEAD_BYTES).arrayBuffer();
  return new TextDecoder("latin1").decode(head).includes("adapter.type");
}

/** Bytes of a zip that are unpacked at most: adapters are small. */
const MOST_ZIP_BYTES = 4e9;

async function unpacked(given: Given): Promise<Given> {
  const [[name, blob] = ["", new Blob()], ...others] = given.files;
  if (others.length > 0 || !/\.zip$/i.test(name)) return given;
  if (blob.size > MOST_ZIP_BYTES)
    fail(name, "is too large to be unpacked here", "unpack it, and drop the folder");
  const { unzip } = await import("fflate");
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const files = await new Promise<Record<string, Uint8Array>>((done, failed) => {
    unzip(bytes, (error, found) => (error ? failed(error) : done(found)));
  }).catch((error: Error) =>
    fail(name, `cannot be unpacked: ${error.message}`, "make it again, or drop the folder"),
  );
  const inside = Object.entries(files).filter(([path]) => !path.endsWith("/"));
  return {
    label: name.replace(/\.zip$/i, ""),
    files: new Map(inside.map(([path, content]) => [path, new Blob([content as BlobPart])])),
  };
}

/** What Chromium gives of what is dropped. */
interface HandleGiver extends DataTransferItem {
  getAsFileSystemHandle?(): Promise<FileSystemHandle | null>;
}

async function filesOfEntry(entry: FileSystemEntry, depth = 0): Promise<Map<string, Blob>> {
  const files = new Map<string, Blob>();
  for (const child of await childrenOf(entry as FileSystemDirectoryEntry)) {
    if (child.isFile) files.set(child.name, await fileOf(child as FileSystemFileEntry));
    else if (depth === 0)
      for (const [path, file] of await filesOfEntry(child, 1)) files.set(`${child.name}/${path}`, file);
    checkCount(entry.name, files.size);
  }
  return files;
}

const fileOf = (entry: FileSystemFileEntry) => new Promise<File>((done, failed) => entry.file(done, failed));

async function childrenOf(entry: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = entry.createReader();
  const all: FileSystemEntry[] = [];
  for (;;) {
    // A browser gives them by the hundred, and none when all were given.
    const some = await new Promise<FileSystemEntry[]>((done, failed) => reader.readEntries(done, failed));
    if (some.length === 0) return all;
    for (const one of some) all.push(one);
  }
}
