import { fail } from "../../util/fail.ts";
import { type ByteCache, type CachedFile, cachedFile } from "./byte-cache.ts";
import { checkRange, type FileSource, failMissing } from "./files.ts";
import { type HttpClient, httpClient, probe, type RemoteFile, type RemoteInfo, streamRange } from "./http.ts";

/** The hub that is asked unless another endpoint is given. */
export const DEFAULT_ENDPOINT = "https://huggingface.co";

/** What all remote sources share. */
export interface RemoteOptions {
  /** Bearer token; goes to the server of the address alone, never along a redirect to another. */
  readonly token?: string | undefined;
  readonly fetch?: typeof globalThis.fetch;
  /** Keeps what was downloaded; without one every read is a request. */
  readonly cache?: ByteCache | undefined;
  /** Waits between attempts; injectable for tests. */
  readonly delay?: (milliseconds: number) => Promise<void>;
}

/** A repository on a hub. */
export interface HubOptions extends RemoteOptions {
  /** `owner/name`. */
  readonly repo: string;
  /** Branch, tag or commit; `main` by default. */
  readonly revision?: string | undefined;
  /** Address of the hub, without a trailing slash. */
  readonly endpoint?: string | undefined;
}

/**
 * The files of a hub repository: `<endpoint>/<repo>/resolve/<revision>/<name>`, redirects followed.
 * With a cache, files are downloaded in order as far as they are read, and a broken-off download goes on.
 * Network failures are LoraErrors of kind `network`.
 */
export function hubFiles(options: HubOptions): FileSource {
  const { repo, revision = "main" } = options;
  const endpoint = (options.endpoint ?? DEFAULT_ENDPOINT).replace(/\/+$/, "");
  if (!isHubId(repo)) fail("hubFiles", `repo is ${JSON.stringify(repo)}, expected owner/name`);
  const base = `${endpoint}/${repo}/resolve/${encodeURIComponent(revision)}`;
  const label = revision === "main" ? repo : `${repo}@${revision}`;
  const refusedHelp = `the repository is private, gated or does not exist: check the name, accept its terms on ${endpoint}/${repo}, and set HF_TOKEN to a token that may read it`;
  return remoteFiles({ ...options, label, base, refusedHelp });
}

/** The files below a plain web address, say a folder of a static server. */
export function urlFiles(options: RemoteOptions & { readonly url: string }): FileSource {
  const base = options.url.replace(/\/+$/, "");
  const refusedHelp = "the server wants credentials; check the address, or pass a token";
  return remoteFiles({ ...options, label: base, base, refusedHelp });
}

interface RemoteSource extends RemoteOptions {
  readonly label: string;
  /** Address that file names are appended to, without a trailing slash. */
  readonly base: string;
  readonly refusedHelp: string;
}

/** A file that was asked for: what the server told of it, and how to read it. */
interface OpenFile extends CachedFile {
  readonly info: RemoteInfo;
}

function remoteFiles(source: RemoteSource): FileSource {
  const { label, base } = source;
  if (!/^https?:/i.test(base) || !URL.canParse(base))
    fail(label, `${JSON.stringify(base)} is no http(s) address`);
  const client = httpClient(source);
  const opened = new Map<string, Promise<OpenFile | undefined>>();

  const open = (name: string): Promise<OpenFile | undefined> => {
    const known = opened.get(name);
    if (known) return known;
    const opening = openRemote(client, source, name);
    opened.set(name, opening);
    opening.catch(() => opened.delete(name)); // the next reader tries again
    return opening;
  };

  return {
    label,
    size: async (name) => (await open(name))?.info.size,
    read: async (name, start, end) => {
      const file = (await open(name)) ?? failMissing(label, name);
      checkRange({ label, name, size: file.info.size, start, end });
      if (start === end) return new Uint8Array(0);
      return file.read(start, end);
    },
  };
}

async function openRemote(
  client: HttpClient,
  source: RemoteSource,
  name: string,
): Promise<OpenFile | undefined> {
  const { label, base, cache } = source;
  const path = name.split("/").map(encodeURIComponent).join("/");
  const file: RemoteFile = { url: `${base}/${path}`, where: `${label}/${name}` };
  const info = await probe(client, file);
  if (!info) return undefined;

  const { size, version, ranges } = info;
  const stream = (start: number, end: number) => streamRange(client, file, { start, end, version });
  // Without a version, new content of the same length would be taken for the old.
  if (!cache || version === "")
    return { info, read: (start, end) => collect(stream(start, end), end - start) };
  const entry = await cache.open([file.url, version, size].join("\n"));
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

/** What a user may name as a model. */
export type ModelReference =
  | { readonly kind: "url"; readonly url: string }
  | { readonly kind: "hub"; readonly repo: string; readonly revision: string | undefined }
  | { readonly kind: "folder"; readonly path: string };

/**
 * Reads a model reference by its syntax alone: an `http(s)` address, a hub id `owner/name[@revision]`, else a
 * folder. A folder `a/b` looks like a hub id too: whoever has a file system looks there first.
 * The web page of a repository (`<hub>/owner/name`, `/tree/<revision>`, `/resolve/<revision>`) counts as its id.
 */
export function parseModelReference(text: string): ModelReference {
  const trimmed = text.trim();
  if (trimmed === "") fail("model", "the name is empty", "give a folder, an address or a hub id owner/name");
  const page = HUB_PAGE.exec(trimmed);
  if (page) return { kind: "hub", repo: page[1]!, revision: page[2] };
  if (/^https?:\/\//i.test(trimmed)) return { kind: "url", url: trimmed };
  const [repo = "", revision] = trimmed.split("@");
  if (HUB_ID.test(trimmed) && isHubId(repo)) return { kind: "hub", repo, revision };
  return { kind: "folder", path: trimmed };
}

const HUB_ID = /^[\w.-]+\/[\w.-]+(@[\w./-]+)?$/;
const HUB_PAGE = new RegExp(
  `^${DEFAULT_ENDPOINT}/([\\w.-]+/[\\w.-]+?)(?:/(?:tree|resolve)/([\\w./-]+?))?/?$`,
);

/** `owner/name` in which neither part is `.` or `..`, as in the folder `./name`. */
function isHubId(repo: string): boolean {
  return /^[\w.-]+\/[\w.-]+$/.test(repo) && !repo.split("/").some((part) => /^\.\.?$/.test(part));
}
