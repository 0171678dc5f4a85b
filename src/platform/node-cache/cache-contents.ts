// What a download cache holds, and what goes.
import { lstatSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { readAnswerNote, readEntryNote, readSealNote } from "../../io/files/cache-notes.ts";
import type { Digest } from "../../io/files/digest.ts";
import { namesIn, removeDeadDrafts } from "../node-drafts.ts";
import { nameOfProcess, type ProcessId, thisProcess } from "../node-process.ts";
import { fileEntry, NOTE_ENDING } from "./byte-cache.ts";
import { USE_FOLDER, usersOf } from "./cache-use.ts";

/** A file that was downloaded, or a part of it. */
export interface KeptFile {
  readonly name: string;
  /** Bytes of the whole file. */
  readonly size: number;
  /** Bytes that are there. */
  readonly bytes: number;
  /** The digest, where the whole was checked and has not changed since. */
  readonly checked: Digest | undefined;
  readonly lastUse: Date;
}

/** What is kept of one repository at one revision, or of one address. */
export interface KeptSource {
  /** As a model is named: `owner/name`, `owner/name@revision` or an address. */
  readonly source: string;
  readonly files: readonly KeptFile[];
  readonly bytes: number;
  readonly lastUse: Date;
  /** A running process that uses it, this one left out. */
  readonly user: ProcessId | undefined;
  /** Names of its files in the cache folder. */
  readonly names: readonly string[];
}

/** What a cache folder holds. */
export interface CacheContents {
  readonly folder: string;
  /** Largest first. */
  readonly sources: readonly KeptSource[];
  /** What an older version left, whose origin nobody knows. */
  readonly unknown: { readonly names: readonly string[]; readonly bytes: number };
  /** Names of what is no download. */
  readonly others: readonly string[];
}

const ENTRY = /^[0-9a-f]{64}$/;
/** Also what an older version named its drafts. */
const OWN = /^[0-9a-f]{64}(\.note(\.\d+)?)?$/;

/** Looks at what is in a cache folder; what processes left that were killed goes. */
export async function readCache(folder: string): Promise<CacheContents> {
  removeDeadDrafts(folder);
  const users = usersOf(folder);
  const names = namesIn(folder);
  const groups = new Map<string, Group>();
  for (const name of names.filter((name) => name.endsWith(NOTE_ENDING))) {
    await addNote(groups, folder, name);
  }
  const known = new Set([...groups.values()].flatMap((group) => group.names));
  const unknown = names.filter((name) => OWN.test(name) && !known.has(name));
  return {
    folder,
    sources: [...groups]
      .map(([source, group]) => describe(source, group, users))
      .sort((a, b) => b.bytes - a.bytes),
    unknown: { names: unknown, bytes: unknown.reduce((sum, name) => sum + sizeOf(join(folder, name)), 0) },
    others: names.filter((name) => !OWN.test(name) && name !== USE_FOLDER),
  };
}

/** Removes files of a cache folder: contents before notes, so that no note is missing that says what something is. */
export function removeFromCache(folder: string, names: readonly string[]): void {
  const inOrder = [...names.filter((name) => ENTRY.test(name)), ...names.filter((name) => !ENTRY.test(name))];
  for (const name of inOrder) rmSync(join(folder, name), { force: true });
}

interface Group {
  readonly files: KeptFile[];
  readonly names: string[];
}

async function addNote(groups: Map<string, Group>, folder: string, note: string): Promise<void> {
  const text = readIfThere(join(folder, note));
  const entry = readEntryNote(text);
  const subject = entry ?? readAnswerNote(text) ?? readSealNote(text);
  if (!subject) return;
  const group = groups.get(subject.source) ?? { files: [], names: [] };
  groups.set(subject.source, group);
  group.names.push(note);
  const content = note.slice(0, -NOTE_ENDING.length);
  const found = lstatSync(join(folder, content), { throwIfNoEntry: false });
  if (!entry || !found?.isFile()) return;
  group.names.push(content);
  const isChecked = entry.seal?.stamp === (await fileEntry(join(folder, content)).stamp());
  group.files.push({
    name: entry.name,
    size: entry.size,
    bytes: found.size,
    checked: isChecked ? entry.seal?.digest : undefined,
    lastUse: lstatSync(join(folder, note)).mtime,
  });
}

function describe(
  source: string,
  { files, names }: Group,
  users: ReadonlyMap<string, ProcessId>,
): KeptSource {
  const own = nameOfProcess(thisProcess());
  const user = names
    .map((name) => users.get(name.replace(NOTE_ENDING, "")))
    .find((user) => user && nameOfProcess(user) !== own);
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const lastUse = new Date(files.reduce((latest, file) => Math.max(latest, file.lastUse.getTime()), 0));
  const sorted = files.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  return { source, files: sorted, bytes, lastUse, user, names };
}

function sizeOf(path: string): number {
  return lstatSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined; // it went meanwhile
  }
}
