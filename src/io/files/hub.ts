import { fail, LoraError } from "../../util/fail.ts";
import { isObject } from "../../util/json.ts";
import { type Address, readAddress, shownAddress } from "./address.ts";
import { type Digest, etagDigest } from "./digest.ts";
import type { FileSource } from "./files.ts";
import { commitOf, fetchText, impatient } from "./http.ts";
import { DEFAULT_ENDPOINT, hubLabel, isHubId } from "./reference.ts";
import { namedFile, type RemoteOptions, type RemoteSource, remoteFiles, sourceClient } from "./remote.ts";

/** A repository on a hub. */
export interface HubOptions extends RemoteOptions {
  /** `owner/name`. */
  readonly repo: string;
  /** Branch, tag or commit; `main` by default. */
  readonly revision?: string | undefined;
  /** Address of the hub, without a trailing slash. */
  readonly endpoint?: string | undefined;
  /** What to do where the hub cannot be reached and nothing was downloaded before. */
  readonly unreachableHelp?: string | undefined;
}

/**
 * The files of a hub repository: `<endpoint>/<repo>/resolve/<revision>/<name>`, redirects followed.
 * What is read is checked against the digest that the hub gives; with a cache, a broken-off download goes on.
 * Network failures are LoraErrors of kind `network`.
 */
export function hubFiles(options: HubOptions): FileSource {
  const source = hubSource(options);
  return {
    ...remoteFiles(source),
    index: async () => (await tryListing(source))?.files.map(({ name }) => name),
  };
}

/**
 * The commit that a repository's revision stands for on the hub now, or undefined where the hub does not tell.
 * Asks once, by the headers of a file, and in vain in browsers, which hide them.
 * @throws LoraError of kind `network` where the hub cannot be reached or refuses, of kind `input` where it has no such
 * revision
 */
export async function hubCommit(options: HubOptions, name: string): Promise<string | undefined> {
  const source = hubSource(options);
  return commitOf(impatient(sourceClient(source)), namedFile(source, name));
}

function hubSource(options: HubOptions): HubSource {
  const { repo, revision = "main", endpoint = DEFAULT_ENDPOINT } = options;
  if (!isHubId(repo))
    fail(
      "hubFiles",
      `repo is ${JSON.stringify(repo)}, expected owner/name`,
      "name the repository as the hub does",
    );
  const { base, authorization } = readAddress(endpoint, "HF_ENDPOINT");
  const address: Address = {
    base: `${base}/${repo}/resolve/${encodeURIComponent(revision)}`,
    query: "",
    authorization,
  };
  const refusedHelp = `the repository is private, gated or does not exist: check the name, accept its terms on ${base}/${repo}, and set HF_TOKEN to a token that may read it`;
  const description = `${base}/api/models/${repo}/revision/${encodeURIComponent(revision)}?blobs=true`;
  const source = { ...options, label: hubLabel(repo, revision), address, refusedHelp, description };
  return options.seesRedirects ? source : { ...source, digestOf: hubDigests(source) };
}

/** A repository, and where the hub describes it. */
interface HubSource extends RemoteSource {
  readonly description: string;
}

/**
 * The digests of a repository's files, from the hub's description of the revision: for browsers, which see only the
 * headers of the server that a large file is redirected to. The hub is asked once; where it does not answer there are none.
 */
function hubDigests(source: HubSource): (name: string) => Promise<Digest | undefined> {
  let asked: Promise<ReadonlyMap<string, Digest | undefined>> | undefined;
  const ask = async () =>
    new Map((await tryListing(source))?.files.map(({ name, digest }) => [name, digest] as const));
  return async (name) => {
    asked ??= ask();
    return (await asked).get(name);
  };
}

/** What the hub says of a repository at a revision. */
export interface HubListing {
  /** Whether its files are sent to those alone who have accepted its terms, or who may see it. */
  readonly isGated: boolean;
  readonly files: readonly HubFile[];
}

/** A file of a repository. */
export interface HubFile {
  readonly name: string;
  /** Bytes; undefined where the hub does not tell. */
  readonly size: number | undefined;
  /** What its content is. */
  readonly digest: Digest | undefined;
}

/**
 * The files of a repository with their sizes, before any is asked for.
 * @throws LoraError of kind `network` where the hub cannot be reached, refuses, or lists nothing
 */
export async function hubListing(options: HubOptions): Promise<HubListing> {
  const source = hubSource(options);
  const text = await fetchText(sourceClient(source), { url: source.description, where: source.label });
  const listing = readListing(text);
  if (listing) return listing;
  throw new LoraError("network", source.label, "the hub does not say which files it has", source.refusedHelp);
}

/** The same for those to whom it is of use only where it is there at once. */
async function tryListing(source: HubSource): Promise<HubListing | undefined> {
  if (source.offline !== undefined) return undefined;
  const file = { url: source.description, where: source.label };
  return readListing(await fetchText(impatient(sourceClient(source)), file).catch(() => undefined));
}

/** The description of a revision, with `siblings`: `lfs.sha256` of large files, `blobId` of the others. */
function readListing(text: string | undefined): HubListing | undefined {
  const description = text === undefined ? undefined : parseOrNothing(text);
  if (!isObject(description) || !Array.isArray(description.siblings)) return undefined;
  const files = description.siblings
    .filter(isObject)
    .flatMap(({ rfilename, size, blobId, lfs }): HubFile[] => {
      const digest = isObject(lfs) ? lfs.sha256 : blobId;
      if (typeof rfilename !== "string") return [];
      return [
        {
          name: rfilename,
          size: typeof size === "number" ? size : undefined,
          digest: etagDigest(typeof digest === "string" ? digest : undefined),
        },
      ];
    });
  return { isGated: description.gated !== undefined && description.gated !== false, files };
}

function parseOrNothing(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The files below a plain web address, say a folder of a static server. */
export function urlFiles(options: RemoteOptions & { readonly url: string }): FileSource {
  const address = readAddress(options.url, shownAddress(options.url));
  const refusedHelp = "the server wants credentials; check the address, or pass a token";
  return remoteFiles({ ...options, label: address.base, address, refusedHelp });
}
