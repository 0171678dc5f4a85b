import { mkdtempSync, readdirSync, readFileSync, rmSync, type Stats, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { folderFiles } from "../../../src/platform/node-files.ts";
import { isChanging } from "../../../src/platform/node-folders/folder-changes.ts";
import { lockFolder } from "../../../src/platform/node-folders/folder-lock.ts";
import { folderWriter } from "../../../src/platform/node-folders/folder-writer.ts";

/** How many changes on disk happen before nothing happens any more, as after `kill -9`. */
const life = vi.hoisted(() => {
  vi.resetModules(); // the setup of all tests has loaded some with the real functions
  const state = { left: Number.POSITIVE_INFINITY };
  const changing = /^(?:rename|rm|rmdir|unlink|mkdir|writeFile|open|utimes)(?:Sync)?$/;
  type Call = (...words: unknown[]) => unknown;
  const mortal = (name: string, action: Call): Call => {
    const until: Call = (...words) => {
      if (changing.test(name)) state.left--;
      if (state.left < 0) throw new Error("killed");
      if (name === "rmSync") removeOneByOne(words[0] as string);
      return name.startsWith("fsync") ? undefined : action(...words); // no power cut is tried here
    };
    return Object.assign(until, action); // realpath.native and the like
  };
  const all = new Map<string, Call>();
  const call = (name: string, ...words: unknown[]) => all.get(name)?.(...words);
  /** Empties a folder file by file before it goes, for that is no single step. */
  const removeOneByOne = (path: string) => {
    const found = call("lstatSync", path, { throwIfNoEntry: false }) as Stats | undefined;
    const names = found?.isDirectory() ? (call("readdirSync", path) as string[]) : [];
    for (const name of names) call("rmSync", `${path}/${name}`, { recursive: true, force: true });
  };
  const wrap = (module: Record<string, unknown>) => {
    const wrapped = Object.entries(module).map(([name, value]): [string, unknown] => {
      if (typeof value !== "function" || !/^[a-z]/.test(name)) return [name, value];
      const call = mortal(name, value as Call);
      all.set(name, call);
      return [name, call];
    });
    return Object.fromEntries(wrapped);
  };
  return { state, wrap };
});

vi.mock("node:fs", async (importOriginal) => life.wrap(await importOriginal()));
vi.mock("node:fs/promises", async (importOriginal) => life.wrap(await importOriginal()));

// The dead process of these tests has the id of this one.
vi.mock("../../../src/platform/node-process.ts", async (importOriginal) => ({
  ...(await importOriginal<object>()),
  isRunning: () => false,
}));

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "killed-"));
});

afterEach(() => {
  life.state.left = Number.POSITIVE_INFINITY;
  rmSync(folder, { recursive: true });
});

type Files = Readonly<Record<string, string>>;

/** All files of the folder by name; without those of a save that did not end unless they are asked for. */
function contents(all = false): Files {
  const entries = readdirSync(folder, { recursive: true, encoding: "utf8" }).sort();
  const names = entries.filter((name) => all || !name.startsWith(".webgpu-lora."));
  const files = names.filter((name) => !statSync(join(folder, name)).isDirectory());
  return Object.fromEntries(files.map((name) => [name, readFileSync(join(folder, name), "utf8")]));
}

/** The task until so many changes on disk have happened; whether it ended. */
async function killedAfter(changes: number, task: () => unknown): Promise<boolean> {
  life.state.left = changes;
  let isWhole = false;
  try {
    await task();
  } catch {
    // It was killed; or its error is of no interest, since the files tell.
  }
  isWhole = life.state.left >= 0;
  life.state.left = Number.POSITIVE_INFINITY;
  return isWhole;
}

function putBack(former: Files): void {
  rmSync(folder, { recursive: true });
  folder = mkdtempSync(join(dirname(folder), "killed-"));
  for (const [name, text] of Object.entries(former)) writeFileSync(join(folder, name), text);
}

const save = (fresh: Files) => () =>
  folderWriter(folder).write(new Map(Object.entries(fresh)), (name) => name.startsWith("shard"));

/** What a program finds that knows nothing of our saves: one whole state, or nothing that it could read. */
function expectNoMixture(states: readonly Files[]): void {
  const found = contents();
  if ("config" in found) expect(states).toContainEqual(found);
}

const CASES: [string, Files, Files][] = [
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
  ["a file in a sub-folder comes", { config: "1" }, { config: "2", "sub/config": "2" }],
  ["one file changes", { config: "1", model: "1" }, { config: "1", model: "2" }],
  ["nothing was there", {}, { config: "2", model: "2" }],
];

test.each(CASES)(
  "killed at any point, a save leaves one state to every reader: %s",
  async (_, former, fresh) => {
    const states = [former, fresh];
    const seen = new Set<unknown>();
    for (let point = 0; ; point++) {
      putBack(former);
      const isWhole = await killedAfter(point, save(fresh));
      expectNoMixture(states);
      await folderFiles(folder).size("config"); // our own reader undoes what was cut off
      expect(states).toContainEqual(contents());
      seen.add(JSON.stringify(contents()));
      lockFolder(folder).release(); // the next start clears up
      expect(states).toContainEqual(contents(true));
      if (isWhole) break;
    }
    expect(contents(true)).toEqual(fresh);
    expect(seen.size).toBe(2);
  },
);

test("the undoing of a save may be killed at any point, too", async () => {
  const [former, fresh] = [
    { config: "1", "shard-1": "1", model: "1" },
    { config: "2", model: "2" },
  ];
  let cutOff = 0;
  for (let point = 0, isWhole = false; !isWhole; point++) {
    // Each third moment, another third for the next point: time is short.
    for (let later = point % 3, isUndone = false; !isUndone; later += 3) {
      putBack(former);
      isWhole = await killedAfter(point, save(fresh));
      if (!isChanging(folder)) break;
      isUndone = await killedAfter(later, () => lockFolder(folder).release());
      expectNoMixture([former, fresh]);
      lockFolder(folder).release();
      expect([former, fresh]).toContainEqual(contents(true));
      cutOff++;
    }
  }
  expect(cutOff).toBeGreaterThan(20);
});

test("where one file changes, no reader finds anything missing at any point", async () => {
  const [former, fresh] = [
    { config: "1", model: "1" },
    { config: "1", model: "2" },
  ];
  for (let point = 0, isWhole = false; !isWhole; point++) {
    putBack(former);
    isWhole = await killedAfter(point, save(fresh));
    expect([former, fresh]).toContainEqual(contents());
  }
});
