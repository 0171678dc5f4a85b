import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { keptDownloads, removeDownload } from "../../src/platform/web-downloads.ts";
import { opfsByteCache, resolveModelFiles } from "../../src/platform/web-files.ts";
import { serveHub } from "../io/files/hub-server.ts";
import { errorOf, utf8 } from "../io/helpers.ts";
import { MemoryFolder } from "../support/memory-folder.ts";

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

test("a download is told as it comes, goes on after it was stopped, and is listed and removed", async () => {
  const folder = mkdtempSync(join(tmpdir(), "web-"));
  const content = new Uint8Array(6 * 2 ** 20).fill(7);
  writeFileSync(join(folder, "x"), content);
  await using server = await serveHub(folder);
  const storage = new MemoryFolder();
  const root = Promise.resolve(storage.handle);
  let came = 0;
  const stopping = new AbortController();
  const options = {
    endpoint: server.origin,
    cache: opfsByteCache(root),
    signal: stopping.signal,
    onDownload: (bytes: number) => {
      came += bytes;
      if (came > 5 * 2 ** 20) stopping.abort();
    },
  };
  const read = async (more: object) =>
    (await resolveModelFiles("owner/name", { ...options, ...more })).read(
      "x",
      content.length - 1,
      content.length,
    );
  await expect(read({})).rejects.toThrow("aborted");
  const [kept, ...others] = await keptDownloads(root);
  expect(others).toEqual([]);
  expect(kept).toEqual({ source: "owner/name", bytes: expect.any(Number), isWhole: false });
  expect(kept!.bytes).toBeGreaterThanOrEqual(4 * 2 ** 20);
  came = 0;
  expect(await read({ signal: undefined })).toEqual(Uint8Array.of(7));
  expect(came).toBe(content.length - kept!.bytes); // what was there was not asked for again
  expect(await keptDownloads(root)).toEqual([{ source: "owner/name", bytes: content.length, isWhole: true }]);
  // A GGUF file is a model by itself.
  writeFileSync(join(folder, "m-Q8_0.gguf"), content.subarray(0, 10));
  await (await resolveModelFiles("owner/name", { ...options, signal: undefined })).read("m-Q8_0.gguf", 0, 10);
  const gguf = { source: "owner/name:m-Q8_0.gguf", bytes: 10, isWhole: true };
  expect((await keptDownloads(root)).slice(1)).toEqual([gguf]);
  await removeDownload("owner/name", root);
  expect(await keptDownloads(root)).toEqual([gguf]);
  await removeDownload(gguf.source, root);
  expect(await keptDownloads(root)).toEqual([]);
  expect(Object.keys(storage.texts)).toEqual([]);
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
