import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { opfsByteCache, resolveModelFiles } from "../../src/platform/web-files.ts";
import { serveHub } from "../io/files/hub-server.ts";
import { errorOf, utf8 } from "../io/helpers.ts";

/** The part of the File System API that the cache uses, in memory; a write shows when it is closed. */
class MemoryFolder {
  readonly children = new Map<string, MemoryFolder | MemoryFile>();
  readonly kind = "directory";
  readonly quota: number;

  constructor(quota = Number.POSITIVE_INFINITY) {
    this.quota = quota;
  }

  async getDirectoryHandle(name: string): Promise<MemoryFolder> {
    const child = this.children.get(name) ?? new MemoryFolder(this.quota);
    this.children.set(name, child);
    return child as MemoryFolder;
  }

  async getFileHandle(name: string, { create = false } = {}): Promise<MemoryFile> {
    if (!create && !this.children.has(name)) throw new DOMException("", "NotFoundError");
    const child = this.children.get(name) ?? new MemoryFile(name, this.quota);
    this.children.set(name, child);
    return child as MemoryFile;
  }

  async removeEntry(name: string): Promise<void> {
    if (!this.children.delete(name)) throw new DOMException("", "NotFoundError");
  }

  async *values() {
    yield* this.children.values();
  }
}

let clock = 0;

class MemoryFile {
  readonly kind = "file";
  bytes = new Uint8Array(0);
  lastModified = 0;
  readonly name: string;
  readonly quota: number;

  constructor(name: string, quota: number) {
    this.name = name;
    this.quota = quota;
  }

  async getFile() {
    const blob = new Blob([this.bytes]);
    return Object.assign(blob, { name: this.name, lastModified: this.lastModified });
  }

  async createWritable() {
    let written = new Uint8Array(0);
    return {
      write: async (content: Uint8Array<ArrayBuffer> | string) => {
        const bytes = typeof content === "string" ? utf8(content) : content;
        if (bytes.length > this.quota) throw new DOMException("", "QuotaExceededError");
        written = bytes;
      },
      close: async () => {
        this.bytes = written;
        this.lastModified = ++clock;
      },
      abort: async () => {},
    };
  }
}

function cacheIn(folder: MemoryFolder) {
  return opfsByteCache(Promise.resolve(folder as unknown as FileSystemDirectoryHandle));
}

describe("opfsByteCache", () => {
  test("keeps pieces in the order of their offsets", async () => {
    const folder = new MemoryFolder();
    const entry = await cacheIn(folder).open("key");
    expect(await entry.length()).toBe(0);
    for (const [offset, text] of [
      [0, "hello "],
      [6, "wo"],
      [8, "rld, "],
      [13, "again"],
    ] as const) {
      await entry.write(offset, utf8(text));
    }
    const again = await cacheIn(folder).open("key");
    expect(await again.length()).toBe(18);
    expect(await again.read(4, 15)).toEqual(utf8("o world, ag"));
    expect(await (await cacheIn(folder).open("other")).length()).toBe(0);
    await again.discard();
    await again.discard();
    expect(await again.length()).toBe(0);
  });

  test("pieces of two tabs may overlap; a gap ends what is there", async () => {
    const entry = await cacheIn(new MemoryFolder()).open("key");
    await entry.write(0, utf8("abcd"));
    await entry.write(2, utf8("cdef"));
    await entry.write(9, utf8("jk"));
    expect(await entry.length()).toBe(6);
    expect(await entry.read(1, 6)).toEqual(utf8("bcdef"));
  });

  test("an empty piece of a tab that was closed while writing does no harm", async () => {
    const folder = new MemoryFolder();
    const entry = await cacheIn(folder).open("key");
    await entry.write(0, utf8("ab"));
    await entry.write(2, new Uint8Array(0));
    expect(await entry.length()).toBe(2);
    await entry.write(2, utf8("cd"));
    expect(await entry.read(0, 4)).toEqual(utf8("abcd"));
  });

  test("the stamp is that of all pieces together, and changes with each", async () => {
    const folder = new MemoryFolder();
    const entry = await cacheIn(folder).open("key");
    const stamps = [await entry.stamp()];
    for (const offset of [0, 2, 0]) {
      await entry.write(offset, utf8("ab"));
      stamps.push(await entry.stamp());
    }
    expect(new Set(stamps).size).toBe(4);
    expect(await (await cacheIn(folder).open("key")).stamp()).toBe(stamps.at(-1));
  });

  test("a full storage is explained", async () => {
    const entry = await cacheIn(new MemoryFolder(3)).open("key");
    expect((await errorOf(() => entry.write(0, utf8("abcd")))).message).toContain(
      "storage for this site is full",
    );
  });
});

test("resolveModelFiles takes addresses, relative ones and hub ids, and caches", async () => {
  const folder = mkdtempSync(join(tmpdir(), "web-"));
  writeFileSync(join(folder, "x"), "hello");
  await using server = await serveHub(folder);
  const cache = cacheIn(new MemoryFolder());
  const options = { endpoint: server.origin, token: "secret", base: `${server.origin}/page/`, cache };
  for (const reference of ["owner/name@v1", `${server.origin}/files`, "../files"]) {
    const files = await resolveModelFiles(reference, options);
    expect(await files.read("x", 1, 3)).toEqual(utf8("el"));
    const expected = reference.startsWith("owner") ? "Bearer secret" : undefined;
    expect(server.requests.at(-1)!.authorization).toBe(expected);
  }
  expect(server.requests[0]!.path).toBe("/owner/name/resolve/v1/x");
  expect(server.sent).toBe(3 + 2 * 5);
  rmSync(folder, { recursive: true });
});

test("what was downloaded before stands in for a server that cannot be reached", async () => {
  const folder = mkdtempSync(join(tmpdir(), "web-"));
  writeFileSync(join(folder, "x"), "hello");
  const server = await serveHub(folder);
  const warnings: string[] = [];
  const options = {
    endpoint: server.origin,
    cache: cacheIn(new MemoryFolder()),
    onWarning: (line: string) => void warnings.push(line),
    delay: async () => {},
  };
  for (const reference of ["owner/name", `${server.origin}/files`]) {
    const files = await resolveModelFiles(reference, options);
    expect(await files.read("x", 0, 5)).toEqual(utf8("hello"));
    expect(await files.size("none")).toBeUndefined();
  }
  await server[Symbol.asyncDispose]();
  for (const reference of ["owner/name", `${server.origin}/files`]) {
    const files = await resolveModelFiles(reference, options);
    expect(await files.size("none")).toBeUndefined();
    expect(await files.read("x", 0, 5)).toEqual(utf8("hello"));
    const nothing = await resolveModelFiles(reference, { ...options, cache: cacheIn(new MemoryFolder()) });
    expect((await errorOf(() => nothing.size("x"))).kind).toBe("network");
  }
  expect(warnings).toHaveLength(2);
  rmSync(folder, { recursive: true });
});
