import { type NoteSubject, readAnswerNote, readEntryNote, readSealNote } from "../io/files/cache-notes.ts";
import { coveredLength, DOWNLOADS, ignoreMissing, NOTE, readPieces } from "./web-files.ts";

/** What is kept in the storage of this site of one repository at one revision, or of one address; a GGUF file is one by itself. */
export interface KeptDownload {
  /** As a model is named: `owner/name`, `owner/name@revision`, `owner/name:FILE.gguf` or an address. */
  readonly source: string;
  /** Bytes that are there. */
  readonly bytes: number;
  /** Whether all files of it that were begun are there and checked. */
  readonly isWhole: boolean;
}

/** What is kept of a source, and under which names. */
interface Group {
  bytes: number;
  isWhole: boolean;
  readonly names: string[];
}

/** What was downloaded and is kept, the largest first. `root` is given by tests only. */
export async function keptDownloads(root?: Promise<FileSystemDirectoryHandle>): Promise<KeptDownload[]> {
  const groups = await readGroups(await cacheFolder(root));
  return [...groups]
    .map(([source, { bytes, isWhole }]) => ({ source, bytes, isWhole }))
    .filter(({ bytes }) => bytes > 0)
    .sort((a, b) => b.bytes - a.bytes);
}

/** Removes what is kept of a source. */
export async function removeDownload(
  source: string,
  root?: Promise<FileSystemDirectoryHandle>,
): Promise<void> {
  const cache = await cacheFolder(root);
  const { names } = (await readGroups(cache)).get(source) ?? { names: [] };
  // Contents before notes, so that no note is missing that says what something is.
  const inOrder = names.toSorted((a, b) => Number(a.endsWith(NOTE)) - Number(b.endsWith(NOTE)));
  for (const name of inOrder) await cache?.removeEntry(name, { recursive: true }).catch(ignoreMissing);
}

async function cacheFolder(root = navigator.storage.getDirectory()) {
  return (await root).getDirectoryHandle(DOWNLOADS).catch(ignoreMissing);
}

async function readGroups(cache: FileSystemDirectoryHandle | undefined): Promise<Map<string, Group>> {
  const groups = new Map<string, Group>();
  for await (const handle of cache?.values() ?? []) {
    if (handle.kind !== "file" || !handle.name.endsWith(NOTE)) continue;
    const text = await (await handle.getFile()).text();
    const entry = readEntryNote(text);
    const subject = entry ?? readAnswerNote(text) ?? readSealNote(text);
    if (!subject) continue;
    const source = modelOf(subject);
    const group = groups.get(source) ?? { bytes: 0, isWhole: true, names: [] };
    groups.set(source, group);
    group.names.push(handle.name);
    const content = handle.name.slice(0, -NOTE.length);
    const folder = await cache?.getDirectoryHandle(content).catch(ignoreMissing);
    if (!entry || !folder) continue;
    const bytes = coveredLength(await readPieces(folder));
    group.names.push(content);
    group.bytes += bytes;
    group.isWhole &&= bytes === entry.size && entry.seal !== undefined;
  }
  return groups;
}

/** The model that a file belongs to, as it is named. */
function modelOf({ source, name }: NoteSubject): string {
  if (!/\.gguf$/i.test(name)) return source;
  return `${source}${/^https?:/.test(source) ? "/" : ":"}${name}`;
}
