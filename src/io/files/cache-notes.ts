import { isObject } from "../../util/json.ts";
import type { Seal } from "./cached-file.ts";
import { isCommitHash, isDigest } from "./digest.ts";
import type { RemoteInfo } from "./http.ts";

/** Which file something in a cache is of. */
export interface NoteSubject {
  /** The repository with its revision, or the folder's address. */
  readonly source: string;
  /** The file's name there. */
  readonly name: string;
}

/** What the server told of a file when it was last asked, under the file's address. */
export interface AnswerNote extends NoteSubject {
  /** Null for a file that is not there. */
  readonly info: RemoteInfo | null;
}

/** A check that the whole of a file has passed, under the file's path where that is another's. */
export interface SealNote extends NoteSubject {
  readonly seal: Seal | undefined;
}

/** What an entry of the cache is, under the entry's own key. */
export interface EntryNote extends SealNote {
  /** Bytes of the whole file. */
  readonly size: number;
}

/** Reads an {@link AnswerNote}; undefined for what is no such note, as an older version of this package may have left. */
export function readAnswerNote(text: string | undefined): AnswerNote | undefined {
  const value = readNote(text);
  if (value === undefined || !("info" in value)) return undefined;
  const info = value.info === null ? null : readInfo(value.info);
  return info === undefined ? undefined : { source: value.source, name: value.name, info };
}

/** Reads an {@link EntryNote}; undefined for what is no such note. */
export function readEntryNote(text: string | undefined): EntryNote | undefined {
  const size = readNote(text)?.size;
  const note = readSealNote(text);
  return note && typeof size === "number" ? { ...note, size } : undefined;
}

/** Reads a {@link SealNote}; undefined for what is no such note. */
export function readSealNote(text: string | undefined): SealNote | undefined {
  const value = readNote(text);
  if (value === undefined || "info" in value) return undefined;
  const { source, name, seal } = value;
  const { digest, stamp } = isObject(seal) ? seal : {};
  const isSealed = isDigest(digest) && typeof stamp === "string";
  return { source, name, seal: isSealed ? { digest, stamp } : undefined };
}

function readNote(text: string | undefined): (Record<string, unknown> & NoteSubject) | undefined {
  try {
    const value: unknown = JSON.parse(text ?? "");
    if (!isObject(value)) return undefined;
    const { source, name } = value;
    return typeof source === "string" && typeof name === "string" ? { ...value, source, name } : undefined;
  } catch {
    return undefined;
  }
}

function readInfo(value: unknown): RemoteInfo | undefined {
  if (!isObject(value)) return undefined;
  const { size, version, ranges, digest, commit } = value;
  if (typeof size !== "number" || typeof version !== "string") return undefined;
  const isCommit = typeof commit === "string" && isCommitHash(commit);
  return {
    ...{ size, version, ranges: ranges === true },
    ...(isDigest(digest) && { digest }),
    ...(isCommit && { commit }),
  };
}
