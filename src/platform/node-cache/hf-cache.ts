// Hugging Face's own cache and settings, as huggingface_hub 1.x reads them (`constants.py`, `file_download.py`).
import { readdir, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, dirname, join } from "node:path";
import { type FileSource, leavesFolder } from "../../io/files/files.ts";
import type { TimeLimits } from "../../io/files/time-limits.ts";
import { fail, LoraError } from "../../util/fail.ts";
import { fileStat, folderFiles, isFolder } from "../node-files.ts";

/** Variables of a process. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** What huggingface_hub takes for yes. */
const YES = ["1", "ON", "YES", "TRUE"];

function isTrue(value: string | undefined): boolean {
  return value !== undefined && YES.includes(value.toUpperCase());
}

/** The variable that forbids asking the hub, where one is set. */
export function offlineVariable({ HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE }: Variables): string | undefined {
  if (!isTrue(HF_HUB_OFFLINE || TRANSFORMERS_OFFLINE)) return undefined;
  return HF_HUB_OFFLINE ? "HF_HUB_OFFLINE" : "TRANSFORMERS_OFFLINE";
}

/**
 * How long a server may be silent, in milliseconds: before it answers, `HF_HUB_ETAG_TIMEOUT`, else `HF_HUB_DOWNLOAD_TIMEOUT`; while it sends,
 * the latter. Both are in seconds; undefined where none is set.
 */
export function hfTimeLimits({
  HF_HUB_ETAG_TIMEOUT,
  HF_HUB_DOWNLOAD_TIMEOUT,
}: Variables): Partial<TimeLimits> | undefined {
  const [etag, download] = [HF_HUB_ETAG_TIMEOUT, HF_HUB_DOWNLOAD_TIMEOUT].map((seconds) =>
    /^[1-9]\d{0,5}$/.test(seconds ?? "") ? Number(seconds) * 1000 : undefined,
  );
  const answer = etag ?? download;
  if (answer === undefined) return undefined;
  return { answer, ...(download !== undefined && { stall: download }) };
}

/** Hugging Face's folder: `HF_HOME`, else `huggingface` in `XDG_CACHE_HOME` or `~/.cache`. */
function hfHome(variables: Variables): string {
  const { HF_HOME, XDG_CACHE_HOME } = variables;
  return expand(HF_HOME || join(XDG_CACHE_HOME || join(homedir(), ".cache"), "huggingface"), variables);
}

/** Where huggingface_hub keeps what it downloads: `HF_HUB_CACHE`, formerly `HUGGINGFACE_HUB_CACHE`, else `hub` in its home. */
export function hfCacheFolder(variables: Variables = process.env): string {
  const { HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE } = variables;
  const given = HF_HUB_CACHE || HUGGINGFACE_HUB_CACHE;
  return given ? expand(given, variables) : join(hfHome(variables), "hub");
}

/** `~` and `$NAME` in a path. */
function expand(path: string, variables: Variables): string {
  const full = path.replace(/^~(?=$|[\\/])/, homedir());
  return full.replace(/\$(?:(\w+)|\{(\w+)\})/g, (all, plain, braced) => variables[plain ?? braced] ?? all);
}

/**
 * The token that huggingface_hub would send: that of `HF_TOKEN`, formerly `HUGGING_FACE_HUB_TOKEN`, else what
 * `hf auth login` stored; none where `HF_HUB_DISABLE_IMPLICIT_TOKEN` is set.
 */
export async function hfToken(variables: Variables = process.env): Promise<string | undefined> {
  const { HF_TOKEN, HUGGING_FACE_HUB_TOKEN, HF_TOKEN_PATH, HF_HUB_DISABLE_IMPLICIT_TOKEN } = variables;
  if (isTrue(HF_HUB_DISABLE_IMPLICIT_TOKEN)) return undefined;
  const given = (HF_TOKEN || HUGGING_FACE_HUB_TOKEN)?.trim();
  if (given) return given;
  const path = HF_TOKEN_PATH ? expand(HF_TOKEN_PATH, variables) : join(hfHome(variables), "token");
  // Somebody else's token is no concern of ours: what may not be read is not there.
  const stored = await readFile(path, "utf8").catch(() => undefined);
  return stored?.trim() || undefined;
}

/** One commit of a repository, as far as huggingface_hub has downloaded it. */
export interface Snapshot {
  readonly commit: string;
  readonly folder: string;
  /** Its files; links to `blobs` are followed. */
  readonly files: FileSource;
  /** Whether a file is here, is known not to be in the repository, or was never asked for. */
  find(name: string): Promise<"here" | "absent" | "unknown">;
}

/** A repository's folder in the cache, `models--owner--name`. */
export interface CachedRepository {
  readonly folder: string;
  /** The commit that a branch, a tag or a short hash stood for when it was last asked for; a commit stands for itself. */
  commitOf(revision: string): Promise<string | undefined>;
  /** What is here of a commit; undefined where there is nothing. */
  snapshot(commit: string): Promise<Snapshot | undefined>;
  /** The commits of which something is here. */
  commits(): Promise<string[]>;
}

/** The repository that a folder of the cache is of, by its name. */
export function cachedRepositoryName({ folder }: CachedRepository): string {
  return basename(folder).split("--").slice(1).join("/");
}

/** A model repository `owner/name` in a cache folder, or undefined where it is not there. */
export async function cachedRepository(
  repo: string,
  cacheFolder = hfCacheFolder(),
): Promise<CachedRepository | undefined> {
  // The hub allows no "--" in names, which would make one folder stand for two repositories.
  if (repo.includes("--")) return undefined;
  return openRepository(join(cacheFolder, ["models", ...repo.split("/")].join("--")));
}

/** The repository whose folder in a cache this is, `models--owner--name` itself or its `snapshots`; undefined for any other. */
export async function repositoryAt(path: string): Promise<CachedRepository | undefined> {
  const folder = basename(path) === "snapshots" ? dirname(path) : path;
  return basename(folder).startsWith("models--") ? openRepository(folder) : undefined;
}

async function openRepository(folder: string): Promise<CachedRepository | undefined> {
  if (!(await isFolder(join(folder, "snapshots")))) return undefined;
  const commits = async () => {
    const entries = await readdir(join(folder, "snapshots"), { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  };
  return {
    folder,
    commits,
    async commitOf(revision) {
      if (leavesFolder(revision)) return undefined;
      const ref = join(folder, "refs", revision);
      if (!(await fileStat(ref))) return (await commits()).find((commit) => commit === revision);
      return (await readFile(ref, "utf8")).trim();
    },
    async snapshot(commit) {
      return (await commits()).includes(commit) ? openSnapshot(folder, commit) : undefined;
    },
  };
}

function openSnapshot(repository: string, commit: string): Snapshot {
  const folder = join(repository, "snapshots", commit);
  const files: FileSource = { ...folderFiles(folder), commit: async () => commit };
  return {
    commit,
    folder,
    files,
    async find(name) {
      const size = await files.size(name).catch(unlessBroken);
      if (size !== undefined) return "here";
      return (await fileStat(join(repository, ".no_exist", commit, name))) ? "absent" : "unknown";
    },
  };
}

/** A link whose blob is gone has to be downloaded again, as a file that never came. */
function unlessBroken(error: unknown): undefined {
  if (!(error instanceof LoraError)) throw error;
}

/**
 * The snapshot of a repository's folder that was named itself: that of `revision`, of `main`, or the only one.
 * @throws LoraError where it cannot be told which is meant
 */
export async function chosenSnapshot(
  repository: CachedRepository,
  revision: string | undefined,
): Promise<Snapshot> {
  const { folder } = repository;
  const commits = await repository.commits();
  const commit =
    (await repository.commitOf(revision ?? "main")) ??
    (revision === undefined && commits.length === 1 ? commits[0] : undefined);
  const snapshot = commit === undefined ? undefined : await repository.snapshot(commit);
  if (snapshot) return snapshot;
  const wanted = `is a repository in Hugging Face's cache, and has no snapshot of ${revision ?? "main"}`;
  if (commits.length === 0) return fail(folder, wanted, "download it again: hf download owner/name");
  const paths = commits.map((name) => join(folder, "snapshots", name));
  return fail(folder, wanted, `give one of its snapshots: ${paths.join(", ")}`);
}
