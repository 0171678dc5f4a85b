import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { rename } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { folderWriter } from "../../src/platform/node-folder-writer.ts";

/** How many renames happen before the process stops for good, as one does that is killed. */
const stop = vi.hoisted(() => ({ after: Number.POSITIVE_INFINITY, reached: () => {} }));

vi.mock("node:fs/promises", async (importOriginal) => {
  const original = await importOriginal<{ rename: typeof rename }>();
  const renameUntilStopped: typeof rename = (from, to) => {
    if (stop.after-- > 0) return original.rename(from, to);
    stop.reached();
    return new Promise(() => {});
  };
  return { ...original, rename: renameUntilStopped };
});

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "killed-"));
});

afterEach(() => {
  stop.after = Number.POSITIVE_INFINITY;
  rmSync(folder, { recursive: true });
});

/** The folder's files by name, without the temporary ones of a writer that did not end. */
function contents(): Record<string, string> {
  const names = readdirSync(folder).filter((name) => !/\.(?:tmp|old)$/.test(name));
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, name), "utf8")]));
}

/** Writes over former files and is killed after so many renames; whether it was. */
async function writeAndKill(
  former: Readonly<Record<string, string>>,
  fresh: Readonly<Record<string, string>>,
  renames: number,
): Promise<boolean> {
  rmSync(folder, { recursive: true });
  folder = mkdtempSync(join(tmpdir(), "killed-"));
  for (const [name, text] of Object.entries(former)) writeFileSync(join(folder, name), text);
  stop.after = renames;
  const killed = new Promise<boolean>((resolve) => {
    stop.reached = () => resolve(true);
  });
  const written = folderWriter(folder).write(new Map(Object.entries(fresh)), (name) =>
    name.startsWith("shard"),
  );
  return Promise.race([killed, written.then(() => false)]);
}

test.each([
  [
    "the first file changes, too",
    { config: "1", "shard-1": "1", "shard-2": "1" },
    { config: "2", "shard-1": "2", tokens: "2" },
  ],
  [
    "the first file stays",
    { config: "1", "shard-1": "1", "shard-2": "1" },
    { config: "1", "shard-1": "2", "shard-2": "2" },
  ],
  ["one file goes, one comes", { config: "1", "shard-1": "1" }, { config: "1", model: "2" }],
  ["nothing was there", {}, { config: "2", model: "2" }],
])("killed at any point, no reader sees new files next to old ones: %s", async (_, former, fresh) => {
  let renames = 0;
  while (await writeAndKill(former, fresh, renames)) {
    const found = contents();
    const isWhole = [former, fresh].some((state) => JSON.stringify(state) === JSON.stringify(found));
    expect(isWhole || !("config" in found), JSON.stringify(found)).toBe(true);
    renames++;
  }
  expect(renames).toBeGreaterThan(1);
  expect(contents()).toEqual(fresh);
});

test("where one file changes, the change is one rename", async () => {
  const former = { config: "1", model: "1" };
  const fresh = { config: "1", model: "2" };
  expect(await writeAndKill(former, fresh, 0)).toBe(true);
  expect(contents()).toEqual(former);
  expect(await writeAndKill(former, fresh, 1)).toBe(false);
  expect(contents()).toEqual(fresh);
});
