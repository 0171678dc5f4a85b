import { LoraError } from "../../util/fail.ts";
import { type Address, fileAddress } from "./address.ts";
import type { ByteCache } from "./byte-cache.ts";
import { type AnswerNote, type EntryNote, readAnswerNote, readEntryNote } from "./cache-notes.ts";
import { type CachedFile, cachedFile, type Seal } from "./cached-file.ts";
import { type Digest, digester, type Hash } from "./digest.ts";
import { checkRange, type FileSource, failMissing } from "./files.ts";
import { httpClient, impatient, probe, type RemoteInfo, streamRange } from "./http.ts";
import { type HttpClient, networkError, type RemoteFile } from "./request.ts";

/** What all remote sources share. */
export interface RemoteOptions
  extends Partial<
    Pick<HttpClient, "fetch" | "delay" | "limits" | "seesRedirects" | "signal" | "onDownload">
  > {
  /** Bearer token; goes to the server of the address alone, never along a redirect to another. */
  readonly token?: string | undefined;
  /** Computes digests. */
  readonly hash: Hash;
  /** Keeps what was downloaded; without one every read is a request, and only files that are read whole are checked. */
  readonly cache?: ByteCache | undefined;
  /** Whether what was checked before is checked again, byte by byte. */
  readonly verify?: boolean | undefined;
  /** Told that copies stand in for a server that cannot be reached, of damaged copies and of long waits. */
  readonly onWarning?: ((warning: string) => void) | undefined;
  /** Why the server must not be asked, such as a setting: only what the cache holds is there then. */
  readonly offline?: string | undefined;
}

/** A folder on a server. */
export interface RemoteSource extends RemoteOptions {
  readonly label: string;
  readonly address: Address;
  readonly refusedHelp: string;
  readonly unreachableHelp?: string | undefined;
  /** What the hub says that a file is, where its answers do not show it. */
  readonly digestOf?: ((name: string) => Promise<Digest | undefined>) | undefined;
}

/** A file of a source. */
export interface NamedFile extends RemoteFile {
  readonly name: string;
  /** The address without its query, which may change from time to time: what the cache knows the file by. */
  readonly key: string;
}

/** What is known of a file: from the server, or from earlier where that cannot be reached. */
interface Found {
  readonly info: RemoteInfo;
  /** Why the server is not asked. */
  readonly outage?: string | undefined;
}

/** A file that was asked for, and how to read it. */
interface OpenFile extends CachedFile {
  readonly info: RemoteInfo;
}

/**
 * The files below an address. With a cache, files are downloaded when they are read, a broken-off download goes on, and
 * where the server cannot be reached what was downloaded before stands in, with a warning.
 */
export function remoteFiles(source: RemoteSource): FileSource {
  const { label } = source;
  const client = sourceClient(source);
  const lookUp = fileFinder(client, source);
  const opened = new Map<string, Promise<OpenFile | undefined>>();

  const open = (name: string): Promise<OpenFile | undefined> => {
    const known = opened.get(name);
    if (known) return known;
    const file = namedFile(source, name);
    const opening = lookUp(file).then((found) => found && openRemote(client, source, file, found));
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
    async commit() {
      const found = await Promise.all([...opened.values()].map((opening) => opening.catch(() => undefined)));
      return found.find((file) => file?.info.commit)?.info.commit;
    },
  };
}

/** The client of a source. A user and a password that stand in the address go before a token, as in huggingface_hub. */
export function sourceClient({ token, address, ...source }: RemoteSource): HttpClient {
  const authorization = address.authorization ?? (token ? `Bearer ${token}` : undefined);
  return httpClient({ ...source, authorization });
}

/** A file of a source, by its name there. */
export function namedFile({ label, address }: RemoteSource, name: string): NamedFile {
  const key = fileAddress({ ...address, query: "" }, name);
  return { name, key, url: fileAddress(address, name), where: `${label}/${name}` };
}

/**
 * What the server tells of a file, or what it told the last time where it cannot be reached. The first question decides
 * for all: later failures are failures, since files of two versions could come together otherwise.
 */
function fileFinder(
  client: HttpClient,
  source: RemoteSource,
): (file: NamedFile) => Promise<Found | undefined> {
  const { cache, onWarning, offline } = source;
  let outage = offline;
  let isReached = false;
  let contact: Promise<unknown> | undefined;

  const firstAnswer = async (file: NamedFile, kept: Kept | undefined) => {
    try {
      const found = await ask(kept?.isWhole ? impatient(client) : client, source, file);
      isReached = true;
      return found;
    } catch (error) {
      if (!kept?.isWhole || !isOutage(error)) throw error;
      outage = firstLine(error);
      onWarning?.(`${outage}; what was downloaded before is used`);
      return kept.info && { info: kept.info, outage };
    }
  };

  return async (file) => {
    const kept = cache && (await recall(cache, file));
    while (contact) await contact;
    if (outage !== undefined) {
      const info = requireWhole(kept, file, outage);
      return info && { info, outage };
    }
    if (isReached) return ask(client, source, file);
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
  throw new LoraError("network", where, message, GO_ON);
}

const GO_ON = "go on with the download while the server can be reached";

async function ask(client: HttpClient, source: RemoteSource, file: NamedFile): Promise<Found | undefined> {
  const { cache, label, digestOf } = source;
  const answer = await probe(client, file);
  const digest = answer && (answer.digest ?? (await digestOf?.(file.name)));
  const info = answer && { ...answer, ...(digest && { digest }) };
  // Without a version nothing is kept. A cache that cannot be written to is found out by the download.
  if (cache && info?.version !== "") {
    const note: AnswerNote = { source: label, name: file.name, info: info ?? null };
    await cache.remember(file.key, JSON.stringify(note)).catch(() => {});
  }
  return info && { info };
}

async function recall(cache: ByteCache, { key }: NamedFile): Promise<Kept | undefined> {
  const note = readAnswerNote(await cache.recall(key));
  if (!note?.info) return note && { info: undefined, isWhole: true };
  const entry = await cache.open(entryKey(key, note.info));
  return { info: note.info, isWhole: (await entry.length()) === note.info.size };
}

function entryKey(key: string, { version, digest, size }: RemoteInfo): string {
  return [key, digest ?? version, size].join("\n");
}

async function openRemote(
  client: HttpClient,
  source: RemoteSource,
  file: NamedFile,
  { info, outage }: Found,
): Promise<OpenFile> {
  const { cache, label, hash, verify = false, onWarning } = source;
  const { size, version, digest, ranges } = info;
  const stream = (start: number, end: number) => streamRange(client, file, { start, end, info });
  // Without a version, new content of the same length would be taken for the old.
  if (!cache || version === "") return { info, read: uncached({ info, file, hash, stream }) };
  const key = entryKey(file.key, info);
  const known = readEntryNote(await cache.recall(key));
  const note: EntryNote = { source: label, name: file.name, size, seal: known?.seal };
  // A cache that may only be read serves, too: what it holds is then checked each time.
  const keep = (seal: Seal | undefined) =>
    cache.remember(key, JSON.stringify({ ...note, seal })).catch(() => {});
  await keep(known?.seal);
  const reading = cachedFile({
    ...{ entry: await cache.open(key), size, digest, seal: known?.seal, verify, hash, ranges, stream },
    onSeal: keep,
    onDamage(what) {
      if (outage !== undefined) throw new LoraError("network", file.where, `${what}, and ${outage}`, GO_ON);
      onWarning?.(`${file.where}: ${what}; it is downloaded again`);
    },
    refuse: (what) => refuse(file, what),
  });
  return { info, ...reading };
}

function refuse(file: RemoteFile, what: string): never {
  const help =
    "nothing of it was kept: try again; if it persists, something on the way changes files, or the server does";
  throw networkError(file, what, help);
}

/** Reads without a cache; what is read whole is checked. */
function uncached({
  info: { size, digest },
  file,
  hash,
  stream,
}: {
  info: RemoteInfo;
  file: RemoteFile;
  hash: Hash;
  stream: (start: number, end: number) => AsyncIterable<Uint8Array>;
}): CachedFile["read"] {
  return async (start, end) => {
    for (let attempt = 1; ; attempt++) {
      const bytes = await collect(stream(start, end), end - start);
      if (digest === undefined || bytes.length < size) return bytes;
      const hashing = digester(hash, size, digest);
      hashing.update(bytes);
      const found = hashing.result();
      if (found === digest) return bytes;
      if (attempt > 1) refuse(file, `has ${found}, expected ${digest}`);
    }
  };
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
