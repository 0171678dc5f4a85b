import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { FileContent } from "../../src/io/files/files.ts";
import { nodeByteCache } from "../../src/platform/node-cache/byte-cache.ts";
import { USE_FOLDER } from "../../src/platform/node-cache/cache-use.ts";
import { nodeChoices } from "../../src/platform/node-choices.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { folderWriter } from "../../src/platform/node-folders/folder-writer.ts";
import { nameOfProcess, thisProcess } from "../../src/platform/node-process.ts";
import { resolveModelFiles } from "../../src/platform/node-sources.ts";
import { serveHub } from "../io/files/hub-server.ts";
import { errorOf, utf8 } from "../io/helpers.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "files-"));
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

function put(name: string, text: string): void {
  writeFileSync(join(folder, name), text);
}

function contents(): Record<string, string> {
  const files = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(files.map(({ name }) => [name, readFileSync(join(folder, name), "utf8")]));
}

describe("folderFiles", () => {
  test("sizes, reads and lists; folders are no files", async () => {
    put("a.txt", "hello");
    mkdirSync(join(folder, "sub"));
    put("sub/b.txt", "x");
    const files = folderFiles(folder);
    expect(await files.size("a.txt")).toBe(5);
    expect(await files.size("sub/b.txt")).toBe(1);
    expect(await files.size("sub")).toBeUndefined();
    expect(await files.size("a.txt/b")).toBeUndefined();
    expect(await files.read("a.txt", 1, 4)).toEqual(utf8("ell"));
    expect(await files.list!()).toEqual(["a.txt"]);
  });

  test("follows links, as in the hub's own cache", async () => {
    const elsewhere = mkdtempSync(join(tmpdir(), "blob-"));
    writeFileSync(join(elsewhere, "blob"), "data");
    symlinkSync(join(elsewhere, "blob"), join(folder, "model"));
    expect(await folderFiles(folder).read("model", 0, 4)).toEqual(utf8("data"));
    rmSync(elsewhere, { recursive: true });
  });

  test("refuses what is no more as it was at the first look, so that no two states are read together", async () => {
    for (const name of ["config", "weights"]) put(name, "1");
    const files = folderFiles(folder);
    expect(await files.size("config")).toBe(1);
    await folderWriter(folder).write(
      new Map([
        ["config", "2"],
        ["weights", "2"],
      ]),
    );
    for (const name of ["config", "weights"]) {
      const { message } = await errorOf(() => files.read(name, 0, 1));
      expect(message).toContain(`${folder}/config: has changed since it was first looked at`);
    }
    expect(await folderFiles(folder).read("weights", 0, 1)).toEqual(utf8("2"));
  });

  test("refuses names that leave the folder, missing files and bad ranges", async () => {
    put("a", "abc");
    const files = folderFiles(folder);
    expect((await errorOf(() => files.size("../a"))).message).toContain("leaves the folder");
    expect((await errorOf(() => files.read("/etc/hosts", 0, 1))).message).toContain("leaves the folder");
    expect((await errorOf(() => files.read("b", 0, 1))).message).toContain(`${folder}/b: no such file`);
    expect((await errorOf(() => files.read("a", 0, 4))).message).toContain("cannot read bytes [0, 4)");
  });
});

describe("folderWriter", () => {
  async function* pieces(...texts: string[]) {
    for (const text of texts) yield utf8(text);
  }

  test("writes text, bytes and streams, into sub-folders too, and leaves nothing else", async () => {
    put("config.json", "old");
    const files = new Map<string, FileContent>([
      ["config.json", "new"],
      ["weights", utf8("bytes")],
      ["stream", pieces("one ", "two ", "three")],
      ["sub/deep/x", "y"],
    ]);
    await folderWriter(folder).write(files);
    expect(contents()).toEqual({ "config.json": "new", weights: "bytes", stream: "one two three" });
    expect(readdirSync(join(folder, "sub/deep"))).toEqual(["x"]);
  });

  test("makes the folder", async () => {
    await folderWriter(join(folder, "new/out")).write(new Map([["a", "b"]]));
    expect(readFileSync(join(folder, "new/out/a"), "utf8")).toBe("b");
  });

  test("a content that fails leaves every file as it was", async () => {
    put("a", "old");
    async function* failing() {
      yield utf8("half");
      throw new Error("out of data");
    }
    const files = new Map<string, FileContent>([
      ["a", "new"],
      ["b", failing()],
    ]);
    await expect(folderWriter(folder).write(files)).rejects.toThrow("out of data");
    expect(contents()).toEqual({ a: "old" });
  });

  test("a disk that is full is told with the file and the remedy", async () => {
    put("a", "old");
    async function* full(): AsyncGenerator<Uint8Array> {
      yield utf8("half");
      throw Object.assign(new Error("ENOSPC: no space left on device, write"), {
        code: "ENOSPC",
        syscall: "write",
      });
    }
    const { message } = await errorOf(() => folderWriter(folder).write(new Map([["a", full()]])));
    expect(message).toMatch(/\/a: cannot be written: ENOSPC.*[\s\S]*another disk/);
    expect(contents()).toEqual({ a: "old" });
  });

  test("a text that is there already is not replaced, so that one rename makes the change", async () => {
    put("config", "same");
    put("weights", "old");
    const { ino } = statSync(join(folder, "config"));
    await folderWriter(folder).write(
      new Map<string, FileContent>([
        ["config", "same"],
        ["weights", utf8("new")],
      ]),
    );
    expect(statSync(join(folder, "config")).ino).toBe(ino);
    expect(contents()).toEqual({ config: "same", weights: "new" });
  });

  test("a rename that fails puts former files back", async () => {
    put("a", "old");
    async function* blocking() {
      mkdirSync(join(folder, "c"));
      yield utf8("x");
    }
    const files = new Map<string, FileContent>([
      ["a", "new"],
      ["b", "new"],
      ["c", blocking()],
    ]);
    const { message } = await errorOf(() => folderWriter(folder).write(files));
    expect(message).toContain("the folder is as it was before");
    expect(contents()).toEqual({ a: "old" });
  });

  test("what is superseded goes, in sub-folders too; what is not stays", async () => {
    for (const name of ["config", "old-1", "old-2", "mine"]) put(name, name);
    mkdirSync(join(folder, "sub/deep"), { recursive: true });
    for (const name of ["sub/old-3", "sub/mine", "sub/deep/old-4"]) put(name, name);
    const files = new Map<string, FileContent>([
      ["config", "config"],
      ["old-2", utf8("new")],
    ]);
    const removed = await folderWriter(folder).write(files, (name) => name.includes("old"));
    expect(removed).toEqual(["old-1", "sub/old-3"]);
    expect(contents()).toEqual({ config: "config", "old-2": "new", mine: "mine" });
    expect(readdirSync(join(folder, "sub")).sort()).toEqual(["deep", "mine"]);
    expect(readdirSync(join(folder, "sub/deep"))).toEqual(["old-4"]);
  });

  test("a rename that fails brings the superseded back", async () => {
    put("a", "old");
    put("stale", "old");
    async function* blocking() {
      mkdirSync(join(folder, "c"));
      yield utf8("x");
    }
    const files = new Map<string, FileContent>([
      ["a", "new"],
      ["c", blocking()],
    ]);
    await errorOf(() => folderWriter(folder).write(files, (name) => name === "stale"));
    expect(contents()).toEqual({ a: "old", stale: "old" });
  });

  test("refuses names it must not write, all at once", async () => {
    mkdirSync(join(folder, "dir"));
    const files = new Map(["../x", "/y", "dir", "good"].map((name) => [name, ""]));
    const { message } = await errorOf(() => folderWriter(folder).write(files));
    expect(message).toContain("3 problems");
    expect(message).toContain("dir is a folder");
    expect(contents()).toEqual({});
  });
});

describe("nodeByteCache", () => {
  test("keeps bytes between opens; keys do not meet", async () => {
    const dir = join(folder, "cache");
    const entry = await nodeByteCache(dir).open("key");
    expect(await entry.length()).toBe(0);
    await entry.write(0, utf8("hello "));
    await entry.write(6, utf8("world"));
    const again = await nodeByteCache(dir).open("key");
    expect(await again.length()).toBe(11);
    expect(await again.read(4, 8)).toEqual(utf8("o wo"));
    expect(await (await nodeByteCache(dir).open("other")).length()).toBe(0);
    await again.discard();
    expect(await again.length()).toBe(0);
    await again.discard();
  });

  test("two writers of the same file do not harm each other", async () => {
    const dir = join(folder, "cache");
    const content = utf8(Array.from({ length: 1000 }, (_, i) => `line ${i}\n`).join(""));
    const writeAll = async (step: number) => {
      const entry = await nodeByteCache(dir).open("key");
      for (let at = 0; at < content.length; at += step)
        await entry.write(at, content.subarray(at, at + step));
    };
    await Promise.all([writeAll(501), writeAll(777)]);
    const entry = await nodeByteCache(dir).open("key");
    expect(await entry.length()).toBe(content.length);
    expect(await entry.read(0, content.length)).toEqual(content);
  });

  test("a later piece cannot start an entry", async () => {
    const entry = await nodeByteCache(folder).open("key");
    expect((await errorOf(() => entry.write(5, utf8("x")))).message).toMatch(
      /ENOENT[\s\S]*another process removed/,
    );
    expect(await entry.length()).toBe(0);
  });

  test("what killed processes left goes with the first use; what the living have, and bytes, stay", async () => {
    const { pid, start, machine, host } = thisProcess();
    const [dead, living] = [start + 1, start].map((start) => nameOfProcess({ pid, start, machine, host }));
    mkdirSync(join(folder, USE_FOLDER));
    put(join(USE_FOLDER, dead), "a");
    for (const name of [`a.note.${dead}-12345678`, `b.note.${living}-12345678`, "a", "a.note"])
      put(name, "x");
    await nodeByteCache(folder).open("key");
    expect(readdirSync(folder).sort()).toEqual(["a", "a.note", `b.note.${living}-12345678`, USE_FOLDER]);
    expect(readdirSync(join(folder, USE_FOLDER))).toEqual([living]);
  });

  test("a note that cannot take its place leaves nothing behind", async () => {
    await nodeByteCache(folder).remember("key", "one");
    const [note = ""] = readdirSync(folder);
    rmSync(join(folder, note));
    mkdirSync(join(folder, note, "in the way"), { recursive: true });
    await expect(nodeByteCache(folder).remember("key", "two")).rejects.toThrow();
    expect(readdirSync(folder)).toEqual([note]);
  });

  test("a piece for an entry that was begun anew meanwhile leaves no hole in it", async () => {
    const [one, other] = [await nodeByteCache(folder).open("key"), await nodeByteCache(folder).open("key")];
    await one.write(0, utf8("hello "));
    await other.discard();
    await other.write(0, utf8("hel"));
    expect((await errorOf(() => one.write(6, utf8("world")))).message).toContain("began this download anew");
    expect(await other.length()).toBe(3);
    await one.write(3, utf8("lo world"));
    expect(await other.read(0, 11)).toEqual(utf8("hello world"));
  });

  test("the stamp changes with every change of the bytes, and with nothing else", async () => {
    const entry = await nodeByteCache(folder).open("key");
    expect(await entry.stamp()).toBe("");
    await entry.write(0, utf8("abc"));
    const stamp = await entry.stamp();
    expect(await entry.stamp()).toBe(stamp);
    const [file = ""] = readdirSync(folder);
    utimesSync(join(folder, file), new Date(), new Date(0));
    expect(await entry.stamp()).not.toBe(stamp);
  });

  test("what it makes is the user's alone; a folder that was there stays as it is", async () => {
    const modeOf = (name: string) => (statSync(join(folder, name)).mode & 0o777).toString(8);
    const cache = nodeByteCache(join(folder, "a/b"));
    await (await cache.open("key")).write(0, utf8("x"));
    await cache.remember("key", "note");
    expect(await cache.recall("key")).toBe("note");
    await nodeChoices(join(folder, "a/b")).save("device", "{}");
    const made = readdirSync(folder, { recursive: true }).map(String);
    const modes = made.map((name) => [/\.json$|\w{64}|in-use\/./.test(name) ? "600" : "700", modeOf(name)]);
    expect(modes).toHaveLength(8);
    for (const [expected, mode] of modes) expect(mode).toBe(expected);

    mkdirSync(join(folder, "shared"), { mode: 0o755 });
    await nodeByteCache(join(folder, "shared")).remember("key", "note");
    expect(modeOf("shared")).toBe("755");
  });

  test("remembering the same again counts as a use", async () => {
    const cache = nodeByteCache(folder);
    await cache.remember("key", "note");
    const [file = ""] = readdirSync(folder);
    utimesSync(join(folder, file), new Date(0), new Date(0));
    await cache.remember("key", "note");
    expect(statSync(join(folder, file)).mtimeMs).toBeGreaterThan(Date.now() - 60_000);
  });

  test("a folder that cannot be written to is told with the remedy", async () => {
    put("file", "");
    const error = await errorOf(() => nodeByteCache(join(folder, "file/cache")).open("key"));
    expect(error.message).toMatch(/cannot be written: ENOTDIR[\s\S]*set WEBGPU_LORA_CACHE/);
  });

  test.each([
    [{ WEBGPU_LORA_CACHE: "own" }, "own"],
    [{ WEBGPU_LORA_CACHE: "", XDG_CACHE_HOME: "xdg" }, "xdg/webgpu-lora"],
    [{ WEBGPU_LORA_CACHE: "", XDG_CACHE_HOME: "", HOME: "home" }, "home/.cache/webgpu-lora"],
  ])("lies where %j says", async (variables, expected) => {
    for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value && join(folder, value));
    const entry = await nodeByteCache().open("key");
    await entry.write(0, utf8("x"));
    expect(readdirSync(join(folder, expected)).filter((name) => /^\w{64}$/.test(name))).toHaveLength(1);
  });
});

describe("resolveModelFiles", () => {
  test("an existing folder wins, even where it looks like a hub id", async () => {
    const files = await resolveModelFiles(folder);
    expect(files.label).toBe(folder);
    expect(await (await resolveModelFiles("src/load")).size("model.ts")).toBeGreaterThan(0);
  });

  test("says what is wrong with a path", async () => {
    put("file", "");
    expect((await errorOf(() => resolveModelFiles("./none"))).message).toContain("./none: no such folder");
    expect((await errorOf(() => resolveModelFiles("gpt2"))).message).toContain("owner/name");
    expect((await errorOf(() => resolveModelFiles(join(folder, "file")))).message).toContain("is a file");
    const twice = resolveModelFiles("owner/name@v1", { revision: "v2" });
    expect((await errorOf(() => twice)).message).toContain("names the revision v1, but v2 was asked for");
  });

  test("hub ids take endpoint and token from the environment, and cache on disk; addresses get no token", async () => {
    put("x", "hello");
    await using server = await serveHub(folder);
    vi.stubEnv("HF_ENDPOINT", server.origin);
    vi.stubEnv("HF_TOKEN", "secret");
    vi.stubEnv("WEBGPU_LORA_CACHE", join(folder, "cache"));
    for (let round = 0; round < 2; round++) {
      const files = await resolveModelFiles("owner/name@v1");
      expect(files.label).toBe("owner/name@v1");
      expect(await files.read("x", 1, 3)).toEqual(utf8("el"));
    }
    expect(server.sent).toBe(2 + 5);
    expect(server.requests.map(({ authorization }) => authorization)).toContain("Bearer secret");
    await (await resolveModelFiles(`${server.origin}/files`)).size("x");
    expect(server.requests.at(-1)!.authorization).toBeUndefined();
  });
});
