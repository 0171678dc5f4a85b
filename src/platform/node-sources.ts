import { basename, dirname, resolve } from "node:path";
import type { ByteCache } from "../io/files/byte-cache.ts";
import { isCommitHash } from "../io/files/digest.ts";
import type { FileSource } from "../io/files/files.ts";
import { type HubOptions, hubCommit, hubFiles, urlFiles } from "../io/files/hub.ts";
import { hubLabel, parseModelReference, settleRevision } from "../io/files/reference.ts";
import { firstLine, isOutage, type RemoteOptions } from "../io/files/remote.ts";
import { TIME_LIMITS, type TimeLimits } from "../io/files/time-limits.ts";
import { fail, LoraError } from "../util/fail.ts";
import { defaultCacheFolder, nodeByteCache } from "./node-cache/byte-cache.ts";
import { type CheckOptions, checkedFiles, hasDigests } from "./node-cache/checked-files.ts";
import {
  type CachedRepository,
  cachedRepository,
  cachedRepositoryName,
  chosenSnapshot,
  hfCacheFolder,
  hfTimeLimits,
  hfToken,
  offlineVariable,
  repositoryAt,
  type Snapshot,
} from "./node-cache/hf-cache.ts";
import { fileStat, folderFiles, isFolder } from "./node-files.ts";
import { nodeHash } from "./node-hash.ts";

/** Where {@link resolveModelFiles} looks, beyond the reference itself. */
export interface ResolveOptions
  extends Pick<RemoteOptions, "fetch" | "delay" | "limits" | "onWarning" | "signal" | "onDownload"> {
  /** Branch, tag or commit of a hub repository. */
  readonly revision?: string | undefined;
  /** {@link hfToken} by default; the empty string is none. */
  readonly token?: string | undefined;
  /** `HF_ENDPOINT` by default. */
  readonly endpoint?: string | undefined;
  /** {@link nodeByteCache} and Hugging Face's own cache by default; false: neither. */
  readonly cache?: ByteCache | boolean | undefined;
  /** Whether what was checked before is checked again, byte by byte. */
  readonly verify?: boolean | undefined;
}

/**
 * The files that a model reference names: a folder that exists, else a hub id `owner/name[@revision]` or an address.
 * Throws where it is none of them. The token goes to the hub alone, never to another address.
 */
export async function resolveModelFiles(
  reference: string,
  options: ResolveOptions = {},
): Promise<FileSource> {
  const cache = byteCache(options.cache);
  const checks = { cache, verify: options.verify };
  if (await isFolder(reference)) return openFolder(reference, options, checks);
  const { token, endpoint = process.env.HF_ENDPOINT, fetch, delay, onWarning, verify } = options;
  const { signal, onDownload } = options;
  const limits = options.limits ?? variableLimits();
  const how = { fetch, delay, limits, hash: nodeHash, seesRedirects: true };
  const remote: RemoteOptions = { ...how, signal, onDownload, onWarning, verify, cache };
  const parsed = parseModelReference(reference);
  if (parsed.kind === "folder") return openByName(parsed.path, options, checks);
  if (parsed.kind === "url") return urlFiles({ ...remote, url: parsed.url });
  const hub = { repo: parsed.repo, revision: settleRevision(parsed, options.revision) };
  const files = await openHub({
    ...remote,
    ...hub,
    token: (token ?? (await hfToken())) || undefined,
    endpoint: endpoint || undefined,
  });
  return { ...files, hub };
}

function variableLimits(): TimeLimits | undefined {
  const given = hfTimeLimits(process.env);
  return given && { ...TIME_LIMITS, ...given };
}

function byteCache(given: ResolveOptions["cache"] = true): ByteCache | undefined {
  if (given === false) return undefined;
  return given === true ? nodeByteCache() : given;
}

/**
 * A folder of a model, or of a repository in Hugging Face's cache, of which a snapshot is taken. What is in a folder that
 * was named itself is the user's own affair, and is checked only where that is asked for.
 */
async function openFolder(
  path: string,
  { revision, verify, onWarning }: ResolveOptions,
  checks: CheckOptions,
): Promise<FileSource> {
  const repository = await repositoryAt(path);
  if (repository) {
    const snapshot = await chosenSnapshot(repository, revision);
    onWarning?.(`${path} is a repository in Hugging Face's cache; its snapshot ${snapshot.folder} is used`);
    return { ...checked(snapshot, checks).files, hub: { repo: cachedRepositoryName(repository), revision } };
  }
  const files = await namedFolder(path);
  if (!verify) return files;
  if (!(await hasDigests(files, path)))
    onWarning?.(`${path}: nothing says what its files should be, so that nothing can be verified`);
  return checkedFiles(files, path, checks);
}

/** A folder that a user named; a snapshot in Hugging Face's cache tells which repository and commit it is of. */
async function namedFolder(path: string): Promise<FileSource> {
  const snapshots = dirname(resolve(path));
  const repository = basename(snapshots) === "snapshots" && (await repositoryAt(snapshots));
  const snapshot = repository && (await repository.snapshot(basename(resolve(path))));
  if (!snapshot) return folderFiles(path);
  const hub = { repo: cachedRepositoryName(repository), revision: undefined };
  return { ...snapshot.files, label: path, hub };
}

function checked(snapshot: Snapshot, checks: CheckOptions): Snapshot {
  return { ...snapshot, files: checkedFiles(snapshot.files, snapshot.folder, checks) };
}

/** What is no folder may be the name of an old repository, such as `gpt2`, that huggingface_hub has downloaded. */
async function openByName(
  name: string,
  { revision }: ResolveOptions,
  checks: CheckOptions,
): Promise<FileSource> {
  const repository = /^[\w.-]+$/.test(name) && checks.cache ? await cachedRepository(name) : undefined;
  const snapshot = await snapshotOf(repository, revision, checks);
  if (snapshot) return { ...snapshot.files, label: hubLabel(name, revision), hub: { repo: name, revision } };
  if ((await fileStat(name)) !== undefined)
    fail(name, "is a file, expected the folder of a model", "give the folder that holds it");
  return fail(name, "no such folder", "check the path; a model on the hub is written owner/name[@revision]");
}

async function snapshotOf(
  repository: CachedRepository | undefined,
  revision = "main",
  checks: CheckOptions = {},
): Promise<Snapshot | undefined> {
  const commit = await repository?.commitOf(revision);
  const snapshot = commit === undefined ? undefined : await repository?.snapshot(commit);
  return snapshot && checked(snapshot, checks);
}

/**
 * A repository of the hub. What huggingface_hub has downloaded of the same commit is not downloaded again; where the
 * hub cannot be reached, or must not be asked, its copy or one of our own stands in.
 */
async function openHub(given: HubOptions): Promise<FileSource> {
  const { repo, revision } = given;
  const hub = { ...given, unreachableHelp: `${placesLooked(given)}; ${elsewhere(given)}` };
  const repository = given.cache && (await cachedRepository(repo));
  const snapshot = await snapshotOf(repository, revision, given);
  const variable = offlineVariable(process.env);
  if (variable !== undefined) {
    const reason = `${variable} is set`;
    return (await localFiles(hub, snapshot, reason)) ?? failOffline(hub, repository, reason);
  }
  if (!repository) return hubFiles(hub);
  if (snapshot && revision !== undefined && isCommitHash(revision)) return pinnedFiles(hub, snapshot);
  try {
    const commit = await hubCommit(hub, await anyName(snapshot));
    const same = commit === undefined ? undefined : await repository.snapshot(commit);
    return same ? joined(hub, checked(same, given), async () => hubFiles(hub)) : hubFiles(hub);
  } catch (error) {
    if (!isOutage(error)) throw error;
    const local = await localFiles(hub, snapshot, firstLine(error));
    if (local) hub.onWarning?.(`${firstLine(error)}; ${local.described} is used`);
    return local ?? hubFiles(hub); // which tries harder
  }
}

/** A file that the repository has for sure, to ask the hub about. */
async function anyName(snapshot: Snapshot | undefined): Promise<string> {
  const names = (await snapshot?.files.list?.()) ?? [];
  const likely = ["config.json", "adapter_config.json"];
  return likely.find((name) => names.includes(name)) ?? names[0] ?? "config.json";
}

/** A commit's files never change: the hub is asked only for those that are not here. */
function pinnedFiles(hub: HubOptions, snapshot: Snapshot): FileSource {
  return joined(hub, snapshot, async () => {
    try {
      await hubCommit(hub, await anyName(snapshot));
      return hubFiles(hub);
    } catch (error) {
      if (!isOutage(error)) throw error;
      hub.onWarning?.(`${firstLine(error)}; only what is in ${snapshot.folder} is used`);
      return undefined;
    }
  });
}

/** The files of a snapshot, and those that it lacks from the hub, where that can be reached. */
function joined(
  { repo, revision }: HubOptions,
  snapshot: Snapshot,
  reach: () => Promise<FileSource | undefined>,
): FileSource {
  let remote: Promise<FileSource | undefined> | undefined;
  const sourceOf = async (name: string): Promise<FileSource | undefined> => {
    const found = await snapshot.find(name);
    if (found === "here") return snapshot.files;
    if (found === "absent") return undefined;
    remote ??= reach();
    return remote;
  };
  const label = hubLabel(repo, revision);
  return {
    label,
    size: async (name) => (await sourceOf(name))?.size(name),
    read: async (name, start, end) => ((await sourceOf(name)) ?? snapshot.files).read(name, start, end),
    commit: async () => snapshot.commit,
    async index() {
      remote ??= reach();
      return (await remote)?.index?.() ?? snapshot.files.list?.();
    },
  };
}

/** A copy on this machine, and what it is called in messages. */
type LocalFiles = FileSource & { readonly described: string };

/** The copy that serves without the hub: huggingface_hub's, unless it has no weights and ours is there. */
async function localFiles(
  hub: HubOptions,
  snapshot: Snapshot | undefined,
  reason: string,
): Promise<LocalFiles | undefined> {
  const label = hubLabel(hub.repo, hub.revision);
  const theirs: LocalFiles | undefined = snapshot && {
    ...snapshot.files,
    label,
    absence: `${snapshot.folder} lacks it, and ${reason}; ${elsewhere(hub)}`,
    described: `the copy in ${snapshot.folder}`,
  };
  const names = (await snapshot?.files.list?.()) ?? [];
  if (theirs && names.some((name) => name.endsWith(".safetensors"))) return theirs;
  const ours = hubFiles({ ...hub, offline: reason });
  const known = [await ours.size("config.json"), await ours.size("adapter_config.json")];
  if (known.every((size) => size === undefined)) return theirs;
  const folder = defaultCacheFolder();
  const absence = `${folder} lacks it, and ${reason}; ${elsewhere(hub)}`;
  return { ...ours, absence, described: `what was downloaded to ${folder}` };
}

async function failOffline(
  hub: HubOptions,
  repository: CachedRepository | undefined,
  reason: string,
): Promise<never> {
  const commits = (await repository?.commits()) ?? [];
  const others = commits.length > 0 ? `; of other revisions there are the commits ${commits.join(", ")}` : "";
  const message = `${reason}, and ${placesLooked(hub)}${others}`;
  const variable = reason.split(" ")[0] ?? "";
  const help = `unset ${variable}, or ${elsewhere(hub)}`;
  throw new LoraError("network", hubLabel(hub.repo, hub.revision), message, help);
}

function placesLooked({ repo, revision, cache }: HubOptions): string {
  if (!cache) return "cache: false leaves out what was downloaded before";
  return `no copy of ${hubLabel(repo, revision)} is in ${hfCacheFolder()} or ${defaultCacheFolder()}`;
}

/** What to do where there is a network: its command has the same folders in mind. */
function elsewhere({ repo, revision }: HubOptions): string {
  const flag = revision === undefined ? "" : ` --revision ${revision}`;
  return `download it while the hub can be reached: hf download ${repo}${flag}`;
}
