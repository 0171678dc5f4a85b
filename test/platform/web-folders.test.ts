import { expect, test } from "vitest";
import type { FileContent } from "../../src/io/files/files.ts";
import {
  checkIsNotModel,
  checkMergedFolder,
  folderFiles,
  folderWriter,
} from "../../src/platform/web-folders.ts";
import { errorOf, utf8 } from "../io/helpers.ts";
import { MemoryFolder } from "../support/memory-folder.ts";

const contents = (record: Record<string, FileContent>) => new Map(Object.entries(record));

test("files are written, also in sub-folders and piece by piece, and read", async () => {
  const folder = new MemoryFolder(undefined, "out");
  async function* pieces() {
    yield utf8("ab");
    yield utf8("cd");
  }
  await folderWriter(folder.handle).write(
    contents({ "config.json": "{}", "model.bin": pieces(), "1_Pooling/config.json": utf8("[1]") }),
  );
  expect(folder.texts).toEqual({ "config.json": "{}", "model.bin": "abcd", "1_Pooling/config.json": "[1]" });
  const files = folderFiles(folder.handle);
  expect(files.label).toBe("out");
  expect(await files.size("model.bin")).toBe(4);
  expect(await files.size("1_Pooling/config.json")).toBe(3);
  expect(await files.size("other")).toBeUndefined();
  expect(await files.size("other/deeper")).toBeUndefined();
  expect(await files.read("model.bin", 1, 3)).toEqual(utf8("bc"));
  expect(await files.list?.()).toEqual(["model.bin", "config.json"]);
  expect(await files.list?.("1_Pooling")).toEqual(["config.json"]);
  expect(await files.list?.("nowhere")).toEqual([]);
  expect(await files.folders?.()).toEqual(["1_Pooling"]);
  expect(String(await errorOf(() => files.read("other", 0, 1)))).toMatch(/out\/other: no such file/);
  expect(String(await errorOf(() => files.read("model.bin", 2, 9)))).toMatch(/cannot read bytes/);
  expect(String(await errorOf(() => files.size("../secret")))).toMatch(/leads out of the folder/);
});

test("what the new files take the place of goes", async () => {
  const folder = new MemoryFolder();
  const writer = folderWriter(folder.handle);
  await writer.write(contents({ "config.json": "1", "labels.json": "[]", "notes.txt": "mine" }));
  const gone = await writer.write(contents({ "config.json": "2", w: "3" }), (name) => name === "labels.json");
  expect(gone).toEqual(["labels.json"]);
  expect(folder.texts).toEqual({ "config.json": "2", w: "3", "notes.txt": "mine" });
});

test("where the storage is full, the folder is as it was", async () => {
  const folder = new MemoryFolder(4);
  const writer = folderWriter(folder.handle);
  await writer.write(contents({ "config.json": "1", w: "old" }));
  const error = await errorOf(() => writer.write(contents({ "config.json": "2", v: "new", w: "too long" })));
  expect(String(error)).toMatch(/cannot be written[\s\S]*free disk space/);
  expect(folder.texts).toEqual({ "config.json": "1", w: "old" });
});

test("names that lead out of the folder are refused before anything is written", async () => {
  const folder = new MemoryFolder();
  const error = await errorOf(() => folderWriter(folder.handle).write(contents({ a: "1", "../b": "2" })));
  expect(String(error)).toMatch(/\.\.\/b leads out/);
  expect(folder.texts).toEqual({});
});

test("neither an adapter nor a merged model takes the place of the base model", async () => {
  expect(() => checkIsNotModel("models/base", "models/base")).toThrow(/the model's own folder/);
  const folder = new MemoryFolder(undefined, "out");
  await checkMergedFolder(folder.handle, "models/base");
  await folderWriter(folder.handle).write(contents({ "adapter_config.json": "{}" }));
  expect(String(await errorOf(() => checkMergedFolder(folder.handle, "models/base")))).toMatch(
    /holds an adapter/,
  );
});
