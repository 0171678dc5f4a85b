// A process that downloads file after file from a slow server of this machine through the download cache.
import { createHash } from "node:crypto";
import { readdirSync, statSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { basename, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { nodeByteCache } from "../../src/platform/node-cache/byte-cache.ts";
import { USE_FOLDER } from "../../src/platform/node-cache/cache-use.ts";
import { isRunning, processOfName } from "../../src/platform/node-process.ts";
import { resolveModelFiles } from "../../src/platform/node-sources.ts";
import { LoraError } from "../../src/util/fail.ts";
import { createRandom } from "../../src/util/random.ts";
import { numbersIn } from "./saves.ts";
import { type Subject, says, type Verdict } from "./subject.ts";

/** Some of the pieces in which a download is written to the disk. */
const FILE_BYTES = 12 * 2 ** 20;
const CHUNK_BYTES = 2 ** 17;

const contents = new Map<number, Buffer>();

/** The bytes of the file of a number. */
function content(file: number): Buffer {
  const random = createRandom(file);
  const words = () => Uint32Array.from({ length: FILE_BYTES / 4 }, () => random.bits());
  const bytes = contents.get(file) ?? Buffer.from(words().buffer);
  contents.set(file, bytes);
  return bytes;
}

/** Bytes that are in a cache of the one file that isn't whole. */
function bytesOfPartial(cache: string): number {
  const files = readdirSync(cache).filter((name) => /^[0-9a-f]{64}$/.test(name));
  const sizes = files.map((name) => statSync(join(cache, name)).size);
  return sizes.find((size) => size < FILE_BYTES) ?? 0;
}

function nameOf(file: number): string {
  return `file-${file}.bin`;
}

/** As a child process: downloads files from an address into a cache until it is killed, and says so. */
export async function downloadForEver(cache: string, url: string, first: number): Promise<never> {
  process.stdout.write("start\n");
  for (let file = first; ; file++) {
    const files = await resolveModelFiles(url, { cache: nodeByteCache(cache) });
    process.stdout.write(`began ${file}\n`);
    await files.read(nameOf(file), 0, FILE_BYTES);
    process.stdout.write(`saved ${file}\n`);
  }
}

/** What is in the cache of a file, without a network: all its bytes or none. */
async function readOffline(cache: string, url: string, file: number): Promise<Uint8Array | undefined> {
  const offline = async () => {
    throw new TypeError("no network");
  };
  const files = await resolveModelFiles(url, {
    cache: nodeByteCache(cache),
    fetch: offline,
    delay: async () => {},
  });
  try {
    return await files.read(nameOf(file), 0, FILE_BYTES);
  } catch (error) {
    if (error instanceof LoraError) return undefined;
    throw error;
  }
}

/** @param program the words after `node` that start this script */
export function downloadSubject(program: readonly string[]): Subject {
  let server: Server | undefined;
  let url = "";
  let sent = 0;
  let begun = 0;

  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const bytes = content(Number(/\d+/.exec(request.url ?? "")?.[0]));
    const [, from = "0", to = `${FILE_BYTES - 1}`] =
      /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? "") ?? [];
    const end = Math.min(Number(to || FILE_BYTES - 1) + 1, FILE_BYTES);
    response.writeHead(206, {
      "content-range": `bytes ${from}-${end - 1}/${FILE_BYTES}`,
      "content-length": end - Number(from),
      etag: `"${createHash("sha256").update(bytes).digest("hex")}"`,
    });
    for (let at = Number(from); at < end && !response.destroyed; at += CHUNK_BYTES) {
      const chunk = bytes.subarray(at, Math.min(at + CHUNK_BYTES, end));
      response.write(chunk);
      sent += chunk.length;
      await delay(1);
    }
    response.end();
  };

  /** What was downloaded of a file before is not downloaded again. */
  const requireResumed = async (cache: string, file: number, there: number) => {
    const before = sent;
    const files = await resolveModelFiles(url, { cache: nodeByteCache(cache) });
    requireEqual(await files.read(nameOf(file), 0, FILE_BYTES), file);
    const most = FILE_BYTES - there + 1; // one byte is for the question how large it is
    if (sent - before > most) throw new Error(`${sent - before} bytes were sent, ${most} were missing`);
  };

  return {
    async prepare() {
      server = createServer(
        (request, response) => void serve(request, response).catch(() => response.destroy()),
      );
      await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
      url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    },
    words: (folder) => [...program, "--child", "download", folder, String(begun), url],
    begun: (child) => says(child, "began"),
    milliseconds: 250,
    isLeftover: isDeads,
    startWords: (folder) => [...program, "--child", "cache", folder],
    async judge(cache, heard): Promise<readonly Verdict[]> {
      begun = numbersIn(heard, "began").at(-1) ?? begun;
      const saved = numbersIn(heard, "saved").at(-1);
      if (saved !== undefined) requireEqual(await readOffline(cache, url, saved), saved);
      const there = bytesOfPartial(cache);
      const partial = await readOffline(cache, url, begun);
      if (partial) requireEqual(partial, begun);
      if (begun % 2 === 0) {
        await requireResumed(cache, begun, partial ? FILE_BYTES : there); // else the next process goes on with it
        requireEqual(await readOffline(cache, url, begun), begun);
      }
      if (partial) return ["new"];
      return [there > 0 ? "refused" : "old"];
    },
    async end() {
      server?.closeAllConnections();
      await new Promise((resolve) => server?.close(resolve));
    },
  };
}

/** Whether a path in the cache is a draft, or what a dead process has noted: this one reads the cache, too. */
function isDeads(path: string): boolean {
  if (path === USE_FOLDER || /^[0-9a-f]{64}(?:\.note)?$/.test(path)) return false;
  const user = processOfName(basename(path));
  return !user || !isRunning(user, 0);
}

function requireEqual(bytes: Uint8Array | undefined, file: number): void {
  if (bytes === undefined) throw new Error(`${nameOf(file)} is not whole, but was`);
  if (!content(file).equals(bytes)) throw new Error(`${nameOf(file)} has other bytes than the server's`);
}
