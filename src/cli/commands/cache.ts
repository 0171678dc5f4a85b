import { readAddress } from "../../io/files/address.ts";
import { defaultCacheFolder } from "../../platform/node-cache/byte-cache.ts";
import {
  type CacheContents,
  type KeptFile,
  type KeptSource,
  readCache,
  removeFromCache,
} from "../../platform/node-cache/cache-contents.ts";
import { hfCacheFolder } from "../../platform/node-cache/hf-cache.ts";
import { largest } from "../../util/arrays.ts";
import { fail, failAll } from "../../util/fail.ts";
import { nearest } from "../../util/nearest.ts";
import { byteCount, count, timeSpan } from "../format.ts";
import type { Settled } from "../settings.ts";
import type { CACHE_LIST_OPTIONS, CACHE_RM_OPTIONS } from "../tables/cache.ts";
import { printLines, type Terminal } from "../terminal.ts";

/**
 * `webgpu-lora cache list`: what was downloaded.
 * @returns the exit code
 */
export async function runCacheList(
  { settings }: Settled<typeof CACHE_LIST_OPTIONS>,
  terminal: Terminal,
): Promise<number> {
  const contents = await readCache(defaultCacheFolder());
  if (settings.json) printLines(terminal.print, JSON.stringify(cacheReport(contents), null, 2));
  else for (const line of describeCache(contents, Date.now())) terminal.print(line);
  return 0;
}

/** @throws LoraError unless it is told what is to go, in one way */
export function checkCacheRmSettings({ settings }: Settled<typeof CACHE_RM_OPTIONS>): void {
  const { names, all, older_than } = settings;
  const ways = [names.length > 0, all, older_than !== undefined].filter(Boolean).length;
  if (ways === 1) return;
  const got = ways === 0 ? "it is not said what is to go" : "it is said in two ways what is to go";
  fail("cache rm", got, "give names as cache list has them, or --all, or --older-than 30d");
}

/**
 * `webgpu-lora cache rm`: removes downloads, and only those. What a running process uses stays.
 * @returns the exit code: 1 where something stays that was to go
 */
export async function runCacheRm(
  { settings }: Settled<typeof CACHE_RM_OPTIONS>,
  terminal: Terminal,
): Promise<number> {
  const contents = await readCache(defaultCacheFolder());
  const chosen = choose(contents, settings);
  const [used, free] = [chosen.filter(({ user }) => user), chosen.filter(({ user }) => !user)];
  for (const { source, user } of used) {
    terminal.note(
      `${source} stays: process ${user?.pid} on ${user?.host} uses it; wait until it has ended, or stop it`,
    );
  }
  const leftovers = settings.all ? contents.unknown : { names: [], bytes: 0 };
  const names = [...free.flatMap((source) => source.names), ...leftovers.names];
  const size = byteCount(free.reduce((sum, { bytes }) => sum + bytes, leftovers.bytes));
  for (const line of free.flatMap(describeChoice)) terminal.print(line);
  if (leftovers.names.length > 0) terminal.print(`${fileCount(leftovers.names.length)} of an older version`);
  if (settings.all && contents.others.length > 0)
    terminal.note(`No downloads, and so left: ${contents.others.join(", ")} in ${contents.folder}`);
  const exitCode = used.length > 0 ? 1 : 0;
  if (names.length === 0) {
    terminal.print("Nothing to remove.");
    return exitCode;
  }
  if (settings.dry_run) {
    terminal.print(`Would remove ${size} from ${contents.folder}.`);
    return exitCode;
  }
  const isWanted = settings.yes || (await terminal.confirm(`Remove ${size} from ${contents.folder}?`));
  if (isWanted === undefined) fail("cache rm", "nobody is there to be asked", "give --yes, or --dry-run");
  if (!isWanted) {
    terminal.print("Nothing was removed.");
    return 1;
  }
  removeFromCache(contents.folder, names);
  terminal.print(`Removed ${size} from ${contents.folder}.`);
  return exitCode;
}

/** What settings choose. Names are looked up among what is there, and lead nowhere else. */
function choose(
  { sources }: CacheContents,
  { names, older_than }: Settled<typeof CACHE_RM_OPTIONS>["settings"],
): readonly KeptSource[] {
  if (older_than !== undefined) {
    return sources.filter(({ lastUse }) => lastUse.getTime() < Date.now() - older_than * 1000);
  }
  if (names.length === 0) return sources;
  const matches = (name: string, source: string) => source === name || source.startsWith(`${name}@`);
  const known = sources.map(({ source }) => source);
  const wanted = names.map((name) =>
    /^https?:\/\//i.test(name) ? readAddress(name, "cache rm").base : name,
  );
  const missing = wanted.filter((name) => !known.some((source) => matches(name, source)));
  const problems = missing.map((name) => {
    const meant = nearest(name, known);
    return `nothing is kept of ${name}${meant === undefined ? "" : `; did you mean ${meant}?`}`;
  });
  failAll("cache rm", problems, "webgpu-lora cache list shows what is kept");
  return sources.filter(({ source }) => wanted.some((name) => matches(name, source)));
}

function fileCount(n: number): string {
  return `${count(n)} ${n === 1 ? "file" : "files"}`;
}

function describeChoice({ source, files, bytes }: KeptSource): string[] {
  return files.length === 0 ? [] : [`${source}: ${fileCount(files.length)}, ${byteCount(bytes)}`];
}

/** For programs. */
function cacheReport({ folder, sources, unknown }: CacheContents): object {
  return {
    folder,
    bytes: totalBytes(sources, unknown),
    sources: sources.map(({ source, bytes, lastUse, user, files }) => ({
      ...{ source, bytes, last_use: lastUse.toISOString(), used_by: user?.pid ?? null },
      files: files.map(({ name, size, bytes, checked, lastUse }) => ({
        ...{ name, size, bytes, checked: checked ?? null, last_use: lastUse.toISOString() },
      })),
    })),
    unknown: { files: unknown.names.length, bytes: unknown.bytes },
  };
}

function describeCache({ folder, sources, unknown }: CacheContents, now: number): string[] {
  const lines = sources
    .filter(({ files }) => files.length > 0)
    .flatMap((source) => describeSource(source, now));
  if (unknown.names.length > 0) {
    lines.push(`${fileCount(unknown.names.length)} of an older version, ${byteCount(unknown.bytes)}`);
  }
  return [
    ...lines,
    `${byteCount(totalBytes(sources, unknown))} in ${folder}`,
    `What huggingface_hub keeps in ${hfCacheFolder()} is used, too: hf cache ls shows it`,
  ];
}

function totalBytes(sources: readonly KeptSource[], unknown: CacheContents["unknown"]): number {
  return sources.reduce((sum, { bytes }) => sum + bytes, unknown.bytes);
}

function describeSource({ source, files, bytes, lastUse, user }: KeptSource, now: number): string[] {
  const used = user ? `in use by process ${user.pid}` : `used ${timeSpan(now - lastUse.getTime())} ago`;
  const width = largest(files.map(({ name }) => name.length));
  return [
    `${source}: ${byteCount(bytes)}, ${used}`,
    ...files.map((file) => `  ${describeFile(file, width)}`),
  ];
}

function describeFile({ name, size, bytes, checked }: KeptFile, width: number): string {
  const part = bytes === size ? byteCount(size) : `${byteCount(bytes)} of ${byteCount(size)}`;
  const state = bytes === size ? (checked ? "checked" : "to be checked") : "not complete";
  return `${name.padEnd(width)}  ${part}, ${state}`;
}
