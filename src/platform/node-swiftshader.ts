import { createHash } from "node:crypto";
import { existsSync, lstatSync } from "node:fs";
import { chmod, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { constants as os, tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { brotliDecompress } from "node:zlib";
import { defaultCacheFolder, PRIVATE_FOLDER } from "./node-cache/byte-cache.ts";
import { draftOf, removeDeadDrafts } from "./node-drafts.ts";
import { makeFolder } from "./node-folders/make-folder.ts";

const decompress = promisify(brotliDecompress);

const DRIVER = "libvk_swiftshader.so";
const LOADER = "libvulkan.so.1";
const MANIFEST = "vk_swiftshader_icd.json";

/**
 * Makes SwiftShader this process's Vulkan driver: a rasteriser on the CPU, taken from the development dependency
 * `@sparticuz/chromium` (Linux, x64). Returns what stands in the way, or undefined where nothing does.
 */
export async function useSwiftShader(): Promise<string | undefined> {
  const archive = findArchive();
  if (!archive) return "SwiftShader is not installed (@sparticuz/chromium, Linux on x64 only)";
  let folder: string;
  try {
    folder = await unpackSwiftShader(archive);
  } catch (error) {
    return String(error);
  }
  process.env.VK_ICD_FILENAMES = join(folder, MANIFEST);
  process.env.VK_DRIVER_FILES = join(folder, MANIFEST);
  const problems = [DRIVER, LOADER].map((name) => preload(join(folder, name)));
  return problems.find((problem) => problem !== undefined);
}

/** The archive of SwiftShader and a Vulkan loader, where it is installed and made for this machine. */
export function findArchive(): string | undefined {
  if (process.platform !== "linux" || process.arch !== "x64") return undefined;
  try {
    const main = createRequire(import.meta.url).resolve("@sparticuz/chromium"); // build/cjs/index.cjs
    const archive = join(dirname(main), "../../bin/swiftshader.tar.br");
    return existsSync(archive) ? archive : undefined;
  } catch {
    return undefined;
  }
}

const RTLD_NODELETE = 0x1000; // in glibc and musl; not among Node's constants

/**
 * Loads a shared library for good: a later search for its bare name, such as Dawn's for `libvulkan.so.1`, then finds
 * it wherever it lies. Returns the dynamic linker's message where it cannot be loaded.
 */
export function preload(path: string): string | undefined {
  try {
    process.dlopen({ exports: {} }, path, os.dlopen.RTLD_NOW | RTLD_NODELETE);
  } catch (error) {
    const { message } = error as Error;
    // It is loaded, but no add-on: that is as it should be.
    return message.includes("did not self-register") ? undefined : message;
  }
  return undefined;
}

/**
 * Unpacks the archive, once for all processes, into the first folder that can be written: below `caches`, or a
 * temporary one of this user's own. Returns the folder.
 */
export async function unpackSwiftShader(archive: string, caches = cacheFolders()): Promise<string> {
  const packed = await readFile(archive);
  const name = `swiftshader-${createHash("sha256").update(packed).digest("hex").slice(0, 12)}`;
  const temporary = join(tmpdir(), `webgpu-lora-${process.getuid?.()}-${name}`);
  const folders = [...caches.map((cache) => join(cache, name)), temporary];
  const known = folders.find(isTrusted);
  if (known) return known;
  const files = tarFiles(await decompress(packed));
  for (const folder of folders) {
    await writeOnce(folder, files).catch(() => {}); // read-only: the next one
    if (isTrusted(folder)) return folder;
  }
  throw new Error(`SwiftShader can be unpacked neither to ${folders.join(" nor to ")}`);
}

function cacheFolders(): string[] {
  try {
    return [defaultCacheFolder()];
  } catch {
    return []; // a user without an entry in /etc/passwd and without HOME
  }
}

/** The folder appears whole by a rename; of several processes that write it at once, the first one wins. */
async function writeOnce(folder: string, files: ReadonlyMap<string, Buffer>): Promise<void> {
  makeFolder(dirname(folder), PRIVATE_FOLDER);
  removeDeadDrafts(dirname(folder), `${basename(folder)}.`);
  const partial = await mkdtemp(`${draftOf(folder)}-`);
  try {
    await writeFiles(partial, files);
    await chmod(partial, 0o755);
    await rename(partial, folder);
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

/** Whether a folder is there and nobody else can have filled it: what lies in it will be run. */
function isTrusted(folder: string): boolean {
  if (!existsSync(join(folder, MANIFEST))) return false;
  const { uid, mode } = lstatSync(folder);
  return (uid === process.getuid?.() || uid === 0) && (mode & 0o022) === 0;
}

async function writeFiles(folder: string, files: ReadonlyMap<string, Buffer>): Promise<void> {
  for (const name of [DRIVER, LOADER, MANIFEST]) {
    const data = files.get(name);
    if (!data) throw new Error(`${name} is missing from the archive of @sparticuz/chromium`);
    await writeFile(join(folder, name), data);
  }
}

/** Files of an uncompressed tar archive: 512-byte headers (name at 0, octal size at 124), data padded to 512. */
export function tarFiles(tar: Buffer): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0; ) {
    const name = tar.toString("latin1", at, at + 100).replace(/\0.*$/, "");
    const size = Number.parseInt(tar.toString("latin1", at + 124, at + 136), 8);
    files.set(name.replace(/^\.\//, ""), tar.subarray(at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}
