import {
  checkRange,
  type FileContent,
  type FileSource,
  type FolderWriter,
  failMissing,
  leavesFolder,
} from "../io/files/files.ts";
import { fail, failAll, LoraError } from "../util/fail.ts";
import { either, objectOf, type Rule, required, words } from "../util/options.ts";

/**
 * A folder in a browser: one that the user chose (`showDirectoryPicker`, or dropped), or the path of one in the storage of
 * this site (OPFS), such as `adapters/french`.
 */
export type WebFolder = string | FileSystemDirectoryHandle;

/** What one has to be. */
export const FOLDER: Rule = required(
  either(
    objectOf("a folder's handle", (folder) => "getFileHandle" in folder),
    words(),
  ),
);

/** The files of a folder. A change after the first look is refused by the browser itself. */
export function folderFiles(folder: WebFolder): FileSource {
  const label = labelOf(folder);
  let opened: Promise<FileSystemDirectoryHandle | undefined> | undefined;
  const top = () => {
    opened ??= openFolder(folder).catch(ifMissing);
    return opened;
  };
  const seen = new Map<string, Promise<File | undefined>>();
  const look = (name: string) => {
    const found = seen.get(name) ?? findFile(label, top, name);
    seen.set(name, found);
    return found;
  };
  const namesIn = async (handle: FileSystemDirectoryHandle | undefined, kind: FileSystemHandleKind) => {
    const names: string[] = [];
    for await (const entry of handle?.values() ?? []) if (entry.kind === kind) names.push(entry.name);
    return names;
  };
  return {
    label,
    size: async (name) => (await look(name))?.size,
    read: async (name, start, end) => {
      const file = (await look(name)) ?? failMissing({ label }, name);
      checkRange({ label, name, size: file.size, start, end });
      return new Uint8Array(await file.slice(start, end).arrayBuffer());
    },
    list: async (inside) => {
      const handle = await top();
      return namesIn(inside ? await handle?.getDirectoryHandle(inside).catch(ifMissing) : handle, "file");
    },
    folders: async () => namesIn(await top(), "directory"),
  };
}

async function findFile(
  label: string,
  top: () => Promise<FileSystemDirectoryHandle | undefined>,
  name: string,
): Promise<File | undefined> {
  if (leavesFolder(name)) fail(`${label}/${name}`, "the name leads out of the folder");
  const place = await placeOf(await top(), name).catch(ifMissing);
  const handle = await place?.parent.getFileHandle(place.name).catch(ifMissing);
  return handle?.getFile();
}

/** The folder that a file is in, and its name there. */
async function placeOf(top: FileSystemDirectoryHandle | undefined, path: string, create = false) {
  const parts = path.split("/");
  const name = parts.pop() as string;
  let parent = top;
  for (const part of parts) parent = await parent?.getDirectoryHandle(part, { create });
  return parent && { parent, name };
}

/**
 * Writes files into a folder, which is made if need be. All but the first are written beside their places before one of them
 * takes its place; meanwhile the first is away, so that nobody reads old and new ones together.
 * @throws LoraError where the browser's storage is full, or the folder may not be written to; it is then as it was
 */
export function folderWriter(folder: WebFolder): FolderWriter {
  const label = labelOf(folder);
  return {
    async write(files, superseded = () => false) {
      const names = [...files.keys()];
      failAll(
        label,
        names.filter(leavesFolder).map((name) => `${name} leads out of the folder`),
      );
      try {
        return await replaceFiles(await openFolder(folder, { create: true }), files, superseded);
      } catch (error) {
        return explain(label, error);
      }
    },
  };
}

async function replaceFiles(
  top: FileSystemDirectoryHandle,
  files: ReadonlyMap<string, FileContent>,
  superseded: (name: string) => boolean,
): Promise<string[]> {
  const old = (await filesBelow(top)).filter((name) => !files.has(name) && superseded(name));
  const [first, ...others] = files;
  if (!first) return [];
  const drafts: Draft[] = [];
  try {
    for (const [name, content] of others) {
      const draft = await openDraft(top, name);
      drafts.push(draft);
      await writeContent(draft.writable, content);
    }
  } catch (error) {
    for (const draft of drafts) await discard(top, draft);
    throw error;
  }
  await remove(top, first[0]);
  for (const name of old) await remove(top, name);
  for (const { writable } of drafts) await writable.close();
  const { writable } = await openDraft(top, first[0]);
  await writeContent(writable, first[1]);
  await writable.close();
  return old;
}

/** A file's new content, which shows when it is closed. */
interface Draft {
  readonly name: string;
  readonly isNew: boolean;
  readonly writable: FileSystemWritableFileStream;
}

async function openDraft(top: FileSystemDirectoryHandle, name: string): Promise<Draft> {
  const place = (await placeOf(top, name, true))!;
  const isNew = (await place.parent.getFileHandle(place.name).catch(ifMissing)) === undefined;
  const handle = await place.parent.getFileHandle(place.name, { create: true });
  if (!("createWritable" in handle)) {
    const help = "use Safari 26 or newer, or another browser; or offer what adapterFiles gives as a download";
    throw new LoraError("unsupported", "saveAdapter", "this browser cannot write files", help);
  }
  return { name, isNew, writable: await handle.createWritable() };
}

/** A new file is there, empty, before anything is written. */
async function discard(top: FileSystemDirectoryHandle, { name, isNew, writable }: Draft): Promise<void> {
  await writable.abort().catch(() => {}); // one that failed is closed
  if (isNew) await remove(top, name);
}

async function writeContent(writable: FileSystemWritableFileStream, content: FileContent): Promise<void> {
  if (typeof content === "string" || content instanceof Uint8Array)
    return writable.write(content as FileSystemWriteChunkType);
  for await (const chunk of content) await writable.write(chunk as FileSystemWriteChunkType);
}

/** Files of a folder and its direct sub-folders, by names with `/`. */
async function filesBelow(top: FileSystemDirectoryHandle): Promise<string[]> {
  const names: string[] = [];
  for await (const entry of top.values()) {
    if (entry.kind === "file") names.push(entry.name);
    else
      for await (const { kind, name } of entry.values())
        if (kind === "file") names.push(`${entry.name}/${name}`);
  }
  return names;
}

async function remove(top: FileSystemDirectoryHandle, path: string): Promise<void> {
  const place = await placeOf(top, path).catch(ifMissing);
  await place?.parent.removeEntry(place.name).catch(ifMissing);
}

/**
 * Checks that an adapter can lie in a folder.
 * @param model what the base model is called
 * @throws LoraError where it is the base model's own: transformers would put the adapter on it whenever it is opened
 */
export function checkIsNotModel(folder: WebFolder, model: string | undefined): void {
  const label = labelOf(folder);
  if (label === model) fail(label, "is the model's own folder", "choose another: the base model is kept");
}

/**
 * Checks that a merged model can lie in a folder.
 * @throws LoraError as {@link checkIsNotModel} does, and where there is an adapter, which would be put on the model once more
 */
export async function checkMergedFolder(folder: WebFolder, model: string): Promise<void> {
  checkIsNotModel(folder, model);
  const name = "adapter_config.json";
  if ((await folderFiles(folder).size(name)) !== undefined) {
    const effect = "transformers would put it on the merged model, too";
    fail(labelOf(folder), `holds an adapter (${name}): ${effect}`, "choose another folder");
  }
}

/** Removes a folder in the storage of this site with all that is in it; nothing where there is none. */
export async function removeFolder(path: string): Promise<void> {
  const top = await openFolder(path).catch(ifMissing);
  if (!top) return;
  const place = await placeOf(await navigator.storage.getDirectory(), path);
  await place?.parent.removeEntry(place.name, { recursive: true });
}

async function openFolder(
  folder: WebFolder,
  options: FileSystemGetDirectoryOptions = {},
): Promise<FileSystemDirectoryHandle> {
  if (typeof folder !== "string") return folder;
  if (leavesFolder(folder))
    fail(folder, "is no path in the storage of this site", "name a folder there, such as adapters/french");
  let handle = await navigator.storage.getDirectory();
  for (const part of folder.split("/")) handle = await handle.getDirectoryHandle(part, options);
  return handle;
}

const labelOf = (folder: WebFolder) => (typeof folder === "string" ? folder : folder.name);

function ifMissing(error: unknown): undefined {
  const name = error instanceof DOMException ? error.name : "";
  if (name !== "NotFoundError" && name !== "TypeMismatchError") throw error;
}

const REMEDIES: Readonly<Record<string, string>> = {
  QuotaExceededError: "free disk space, or clear what this site has stored",
  NotAllowedError: "allow the page to write to the folder when the browser asks, or choose another one",
  NoModificationAllowedError: "another tab or program has the file open: close it",
};

/** Rethrows what the browser says with the folder and the remedy. */
function explain(label: string, error: unknown): never {
  if (!(error instanceof DOMException)) throw error;
  return fail(label, `cannot be written: ${error.message}`, REMEDIES[error.name]);
}
