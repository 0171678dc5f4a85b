import { fail, LoraError } from "../../util/fail.ts";
import { isObject } from "../../util/json.ts";
import { type ByteCache, type CachedFile, cachedFile } from "./byte-cache.ts";
import { checkRange, type FileSource, failMissing } from "./files.ts";
import {
  type HttpClient,
  httpClient,
  impatient,
  probe,
  type RemoteFile,
  type RemoteInfo,
  streamRange,
} from "./http.ts";

/** What all remote sources share. */
export interface RemoteOptions {
  /** Bearer token; goes to the server of the address alone, never along a redirect to another. */
  readonly token?: string | undefined;
  readonly fetch?: typeof globalThis.fetch | undefined;
  /** Keeps what was downloaded; without one every read is a request. */
  readonly cache?: ByteCache | undefined;
  /** Waits between attempts; injectable for tests. */
  readonly delay?: ((milliseconds: number) => Promise<void>) | undefined;
  /** Told that copies stand in for a server that cannot be reached. */
  readonly onWarning?: ((warning: string) => void) | undefined;
  /** Why the server must not be asked, such as a setting: only what the cache holds is there then. */
  readonly offline?: string | undefined;
}

/** A folder on a server. */
export interface RemoteSource extends RemoteOptions {
  readonly label: string;
  /** Address that file names are appended to, without a trailing slash. */
  readonly base: string;
  readonly refusedHelp: string;
  readonly unreachableHelp?: string | undefined;
}

/** A file that was asked for: what the server told of it, and how to read it. */
interface OpenFile extends CachedFile {
  readonly info: RemoteInfo;
}

/**
 * The files below an address. With a cache, files are downloaded in order as far as they are read, a broken-off
 * download goes on, and where the server cannot be reached what was downloaded before stands in, with a warning.
 */
export function remoteFiles(source: RemoteSource): FileSource {
  const { label, base } = source;
  if (!/^https?:/i.test(base) || !URL.canParse(base))
    fail(label, `${JSON.stringify(base)} is no http(s) address`);
  const client = httpClient(source);
  const lookUp = fileFinder(client, source);
  const opened = new Map<string, Promise<OpenFile | undefined>>();

  const open = (name: string): Promise<OpenFile | undefined> => {
    const known = opened.get(name);
    if (known) return known;
    const path = name.split("/").map(encodeURIComponent).join("/");
    const file: RemoteFile = { url: `${base}/${path}`, where: `${label}/${name}` };
    const opening = lookUp(file).then((info) => info && openRemote(client, source, file, info));
    opened.set(name, opening);
    opening.catch(() => opened.delete(name)); // the next reader tries again
    return opening;
  };

  return {
    label,
    size: async (name) => (await open(name))?.info.size,
    read: async (name, start, end) => {
      const file = (await open(name)) ?? failMissing({ label }, name);
      checkRange({ label, name, size: file.info.size, start, end });
      if (start === end) return new Uint8Array(0);
      return file.read(start, end);
    },
  };
}

/**
 * What the server tells of a file, or what it told the last time where it cannot be reached. The first question decides
 * for all: later failures are failures, since files of two versions could come together otherwise.
 */
function fileFinder(
  client: HttpClient,
  { cache, onWarning, offline }: RemoteSource,
): (file: RemoteFile) => Promise<RemoteInfo | undefined> {
  let outage = offline;
  let isReached = false;
  let contact: Promise<unknown> | undefined;

  const firstAnswer = async (file: RemoteFile, kept: Kept | undefined) => {
    try {
      const info = await ask(kept?.isWhole ? impatient(client) : client, file, cache);
      isReached = true;
      return info;
    } catch (error) {
      if (!kept?.isWhole || !isOutage(error)) throw error;
      outage = firstLine(error);
      onWarning?.(`${outage}; what was downloaded before is used`);
      return kept.info;
    }
  };

  return async (file) => {
    const kept = cache && (await recall(cache, file));
    while (contact) await contact;
    if (outage !== undefined) return requireWhole(kept, file, outage);
    if (isReached) return ask(client, file, cache);
    const answer = firstAnswer(file, kept);
    contact = answer.then(
      () => {},
      () => {},
    );
    return answer.finally(() => {
      contact = undefined;
    });
  };
}

/** Whether an error says that the server cannot be asked now, so that a copy may stand in; not that there is no such thing. */
export function isOutage(error: unknown): error is LoraError {
  return error instanceof LoraError && error.kind === "network";
}

/** What an error says, without its remedy. */
export function firstLine({ message }: LoraError): string {
  return message.split("\n")[0] as string;
}

/** A file that was asked for before. */
interface Kept {
  /** What the server told of it; undefined where it has no such file. */
  readonly info: RemoteInfo | undefined;
  /** All its bytes are here, or it has none. */
  readonly isWhole: boolean;
}

function requireWhole(kept: Kept | undefined, { where }: RemoteFile, outage: string): RemoteInfo | undefined {
  if (!kept || kept.isWhole) return kept?.info;
  const message = `only a part of its ${kept.info?.size} bytes was downloaded before, and ${outage}`;
  throw new LoraError("network", where, message, "go on with the download while the server can be reached");
}

async function ask(
  client: HttpClient,
  file: RemoteFile,
  cache: ByteCache | undefined,
): Promise<RemoteInfo | undefined> {
  const info = await probe(client, file);
  // Without a version nothing is kept. A cache that cannot be written to is found out by the download.
  if (cache && info?.version !== "")
    await cache.remember(file.url, JSON.stringify(info ?? null)).catch(() => {});
  return info;
}

async function recall(cache: ByteCache, { url }: RemoteFile): Promise<Kept | undefined> {
  const info = parseNote(await cache.recall(url));
  if (!info) return info === null ? { info: undefined, isWhole: true } : undefined;
  const entry = await cache.open(entryKey(url, info));
  return { info, isWhole: (await entry.length()) === info.size };
}

/** A note of {@link ask}: what was told, null for a file that is not there; undefined for what is no such note. */
function parseNote(note: string | undefined): RemoteInfo | null | undefined {
  try {
    const value: unknown = JSON.parse(note ?? "");
    if (!isObject(value)) return value === null ? null : undefined;
    const { size, version, ranges } = value;
    if (typeof size !== "number" || typeof version !== "string") return undefined;
    return { size, version, ranges: ranges === true };
  } catch {
    return undefined;
  }
}

function entryKey(url: string, { version, size }: RemoteInfo): string {
  return [url, version, size].join("\n");
}

async function openRemote(
  client: HttpClient,
  { cache }: RemoteSource,
  file: RemoteFile,
  info: RemoteInfo,
): Promise<OpenFile> {
  const { size, version, ranges } = info;
  const stream = (start: number, end: number) => streamRange(client, file, { start, end, version });
  // Without a version, new content of the same length would be taken for the old.
  if (!cache || version === "")
    return { info, read: (start, end) => collect(stream(start, end), end - start) };
  const entry = await cache.open(entryKey(file.url, info));
  return { info, ...cachedFile({ entry, size, ranges, stream }) };
}

/** Gathers chunks of `length` bytes in total; holds them once. */
async function collect(chunks: AsyncIterable<Uint8Array>, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let at = 0;
  for await (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
