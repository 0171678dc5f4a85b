import { fail } from "../../util/fail.ts";
import { isObject } from "../../util/json.ts";
import { type Address, readAddress, shownAddress } from "./address.ts";
import { type Digest, etagDigest } from "./digest.ts";
import type { FileSource } from "./files.ts";
import { commitOf, fetchText, impatient } from "./http.ts";
import { namedFile, type RemoteOptions, type RemoteSource, remoteFiles, sourceClient } from "./remote.ts";

/** The hub that is asked unless another endpoint is given. */
const DEFAULT_ENDPOINT = "https://huggingface.co";

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
  return remoteFiles(hubSource(options));
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

function hubSource(options: HubOptions): RemoteSource {
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
  const source: RemoteSource = { ...options, label: hubLabel(repo, revision), address, refusedHelp };
  if (options.seesRedirects) return source;
  return {
    ...source,
    digestOf: hubDigests(source, `${base}/api/models/${repo}/revision/${encodeURIComponent(revision)}`),
  };
}

/**
 * The digests of a repository's files, from the hub's description of the revision: for browsers, which see only the
 * headers of the server that a large file is redirected to. The hub is asked once; where it does not answer there are none.
 */
function hubDigests(source: RemoteSource, url: string): (name: string) => Promise<Digest | undefined> {
  let asked: Promise<ReadonlyMap<string, Digest>> | undefined;
  const ask = async () => {
    const file = { url: `${url}?blobs=true`, where: source.label };
    const text = await fetchText(impatient(sourceClient(source)), file).catch(() => undefined);
    return readDigests(text);
  };
  return async (name) => {
    asked ??= ask();
    return (await asked).get(name);
  };
}

/** `siblings` of a revision's description: `lfs.sha256` of large files, `blobId` of the others. */
function readDigests(text: string | undefined): Map<string, Digest> {
  const description = text === undefined ? undefined : parseOrNothing(text);
  const siblings = isObject(description) && Array.isArray(description.siblings) ? description.siblings : [];
  const files = siblings.filter(isObject).map(({ rfilename, blobId, lfs }): [unknown, Digest | undefined] => {
    const digest = isObject(lfs) ? lfs.sha256 : blobId;
    return [rfilename, etagDigest(typeof digest === "string" ? digest : undefined)];
  });
  return new Map(files.filter((file): file is [string, Digest] => typeof file[0] === "string" && !!file[1]));
}

function parseOrNothing(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A repository in messages and in adapters' `base_model_name_or_path`. */
export function hubLabel(repo: string, revision = "main"): string {
  return revision === "main" ? repo : `${repo}@${revision}`;
}

/** The files below a plain web address, say a folder of a static server. */
export function urlFiles(options: RemoteOptions & { readonly url: string }): FileSource {
  const address = readAddress(options.url, shownAddress(options.url));
  const refusedHelp = "the server wants credentials; check the address, or pass a token";
  return remoteFiles({ ...options, label: address.base, address, refusedHelp });
}

/** What a user may name as a model. */
export type ModelReference = { readonly kind: "url"; readonly url: string } | HubReference | FolderReference;

/** A repository of the hub, named as `owner/name[@revision]` or by its page. */
export interface HubReference {
  readonly kind: "hub";
  readonly repo: string;
  readonly revision: string | undefined;
}

/** What is neither an address nor a hub id. */
export interface FolderReference {
  readonly kind: "folder";
  readonly path: string;
}

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

/**
 * The revision that a reference and an option name together.
 * @throws LoraError where they name two
 */
export function settleRevision(
  { repo, revision }: HubReference,
  asked: string | undefined,
): string | undefined {
  if (asked && revision && asked !== revision)
    fail(
      "model",
      `${repo}@${revision} names the revision ${revision}, but ${asked} was asked for`,
      "give one of them",
    );
  return revision ?? (asked || undefined);
}

const HUB_ID = /^[\w.-]+\/[\w.-]+(@[\w./-]+)?$/;
const HUB_PAGE = new RegExp(
  `^${DEFAULT_ENDPOINT}/([\\w.-]+/[\\w.-]+?)(?:/(?:tree|resolve)/([\\w./-]+?))?/?$`,
);

/** `owner/name` in which neither part is `.` or `..`, as in the folder `./name`. */
function isHubId(repo: string): boolean {
  return /^[\w.-]+\/[\w.-]+$/.test(repo) && !repo.split("/").some((part) => /^\.\.?$/.test(part));
}
