import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { folderFiles } from "../../../src/platform/node-files.ts";
import { lockFolder } from "../../../src/platform/node-folders/folder-lock.ts";
import { folderWriter } from "../../../src/platform/node-folders/folder-writer.ts";
import { nameOfProcess, type ProcessId, thisProcess } from "../../../src/platform/node-process.ts";
import { bundleForNode } from "../../support/bundle.ts";

const PROGRAM = resolve(`node_modules/.cache/webgpu-lora/lock-test-${process.pid}/lock-child.js`);
const LOCK = ".webgpu-lora.lock";
const children: ChildProcess[] = [];
let parent: string;
let folder: string;

beforeAll(() =>
  bundleForNode({ entryPoints: ["test/platform/node-folders/lock-child.ts"], outfile: PROGRAM }),
);
afterAll(() => rmSync(join(PROGRAM, ".."), { recursive: true, force: true }));

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "lock-"));
  folder = join(parent, "new/out");
});

afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill("SIGKILL");
    await once(child, "exit");
  }
  rmSync(parent, { recursive: true, force: true });
});

/** Starts a process that tries to lock the folder; what it says first. */
async function start(
  words: readonly string[] = [],
  moment = 0,
): Promise<{ child: ChildProcess; said: string }> {
  const child = spawn(process.execPath, [PROGRAM, folder, String(moment), ...words]);
  children.push(child);
  let said = "";
  child.stdout.setEncoding("utf8");
  for await (const text of child.stdout) {
    said += text;
    if (said.includes("\n")) break;
  }
  return { child, said };
}

/** Puts a lock into the folder as a process of this name would. */
function plantLock(holder: ProcessId, secondsAgo = 0): void {
  const path = join(folder, LOCK);
  mkdirSync(path, { recursive: true });
  const file = join(path, nameOfProcess(holder));
  writeFileSync(file, "");
  utimesSync(file, Date.now() / 1000 - secondsAgo, Date.now() / 1000 - secondsAgo);
}

describe("of two processes, one has the folder", () => {
  test.each([["a new folder"], ["a folder whose lock is of a dead process"]])(
    "%s: of six that begin in the same millisecond, one wins",
    async (state) => {
      if (state !== "a new folder") {
        const { child } = await start();
        child.kill("SIGKILL");
        await once(child, "exit");
        expect(readdirSync(folder)).toEqual([LOCK]);
      }
      const moment = Date.now() + 1000;
      const all = await Promise.all(Array.from({ length: 6 }, () => start([], moment)));
      const winners = all.filter(({ said }) => said === "locked\n");
      expect(all.map(({ said }) => said).join("")).toContain("locked");
      expect(winners.length).toBe(1);
      const { pid } = winners[0]!.child;
      for (const { said } of all.filter((one) => !winners.includes(one))) {
        expect(said).toMatch(new RegExp(`^refused: ${folder}: process ${pid} on .* is writing`));
      }
      expect(readdirSync(folder)).toEqual([LOCK]);
    },
  );

  test("this process is refused with the pid, the folder and a way out, also when it saves", async () => {
    const { child } = await start();
    const said = new RegExp(`^${folder}: process ${child.pid} on [\\s\\S]*→ .*${folder}/${LOCK}`);
    expect(() => lockFolder(folder)).toThrow(said);
    await expect(folderWriter(folder).write(new Map([["a", "b"]]))).rejects.toThrow(said);
    expect(readdirSync(folder)).toEqual([LOCK]);
  });
});

describe("the lock goes with its process", () => {
  test.each([["SIGINT"], ["SIGTERM"], ["SIGHUP"]] as const)("that ends by %s", async (signal) => {
    const { child } = await start();
    child.kill(signal);
    expect(await once(child, "exit")).toEqual([null, signal]);
    expect(readdirSync(parent)).toEqual([]); // nothing was written: the folders that were made go, too
  });

  test.each([
    ["exit", 3],
    ["throw", 1],
  ])("that ends by %s", async (then, code) => {
    const { child } = await start([then]);
    const [exitCode] = child.exitCode === null ? await once(child, "exit") : [child.exitCode];
    expect(exitCode).toBe(code);
    expect(existsSync(folder)).toBe(false);
  });

  test("and, where it was killed, with the next one", async () => {
    const { child } = await start();
    child.kill("SIGKILL");
    await once(child, "exit");
    lockFolder(folder).release();
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe("whose lock counts", () => {
  const self = thisProcess();
  const REFUSED = /is writing into this folder/;

  test("a process id that is used again holds nothing", () => {
    plantLock({ ...self, start: self.start + 1 });
    lockFolder(folder).release();
  });

  test("a process that can't be looked at holds it as long as it gives signs of life", () => {
    const stranger = { ...self, machine: "0123456789ab", host: "elsewhere" };
    plantLock(stranger, 60);
    expect(() => lockFolder(folder)).toThrow(/on elsewhere is writing/);
    plantLock(stranger, 600);
    lockFolder(folder).release();
    expect(readdirSync(folder)).toEqual([]);
  });

  test("what dead processes left before they had the lock goes; what the living have, and the user, stays", () => {
    const dead = nameOfProcess({ ...self, start: self.start + 1 });
    const living = nameOfProcess({ ...self, machine: "0123456789ab" });
    for (const name of [dead, living, "notes"])
      mkdirSync(join(folder, `${LOCK}.${name}`), { recursive: true });
    mkdirSync(join(folder, ".webgpu-lora.save"));
    writeFileSync(join(folder, ".webgpu-lora.save/new-0"), "half");
    writeFileSync(join(folder, "a.tmp"), "mine");
    lockFolder(folder).release();
    expect(readdirSync(folder).sort()).toEqual([`${LOCK}.${living}`, `${LOCK}.notes`, "a.tmp"]);
  });

  test("a lock that somebody removed is taken anew by its process, unless another one has it", async () => {
    const lock = lockFolder(folder);
    rmSync(parent, { recursive: true });
    expect(() => lock.check()).toThrow(
      /its lock is gone: another process has taken the folder, or it was removed/,
    );
    await folderWriter(folder).write(new Map([["a", "b"]]));
    expect(readFileSync(join(folder, "a"), "utf8")).toBe("b");
    rmSync(join(folder, LOCK), { recursive: true });
    await start();
    await expect(folderWriter(folder).write(new Map([["a", "c"]]))).rejects.toThrow(REFUSED);
    lock.release();
    expect(readdirSync(folder).sort()).toEqual([LOCK, "a"]); // the other one's
  });

  test("a link to a folder is that folder, and stays a link", async () => {
    mkdirSync(join(parent, "real"));
    mkdirSync(join(parent, "new"));
    symlinkSync("../real", folder);
    const lock = lockFolder(folder);
    expect(readdirSync(join(parent, "real"))).toEqual([LOCK]);
    await folderWriter(join(parent, "real")).write(new Map([["a", "b"]]));
    lock.release();
    expect(readdirSync(join(parent, "real"))).toEqual(["a"]);
  });

  test("writes of one process to one folder take turns", async () => {
    const states = ["1", "2", "3", "4"].map((text) => new Map([["a", text] as const, ["b", text] as const]));
    await Promise.all(states.map((files) => folderWriter(folder).write(files)));
    const [a, b] = ["a", "b"].map((name) => readFileSync(join(folder, name), "utf8"));
    expect(a).toBe("4");
    expect(b).toBe("4");
    expect(readdirSync(folder)).toEqual(["a", "b"]);
  });
});

describe("a folder in the middle of a save", () => {
  const STAGING = ".webgpu-lora.save";
  const SAVE = join(STAGING, "plan.json");
  const put = (name: string, text: string) => {
    mkdirSync(join(folder, name, ".."), { recursive: true });
    writeFileSync(join(folder, name), text);
  };
  const plan = (...names: readonly string[]) =>
    put(SAVE, JSON.stringify(names.map((name) => ({ name, isNew: true }))));

  test("is read when the process that saves is through", async () => {
    put("config", "1");
    plan("config");
    plantLock({ ...thisProcess(), machine: "0123456789ab" });
    const text = folderFiles(folder).read("config", 0, 1);
    await new Promise((resolve) => setTimeout(resolve, 100));
    put("config", "2");
    rmSync(join(folder, STAGING), { recursive: true });
    expect(await text).toEqual(new TextEncoder().encode("2"));
  });

  test("is not read where the save cannot be undone", async () => {
    plan("config");
    put(".webgpu-lora.lock", "");
    const size = folderFiles(folder).size("config");
    await expect(size).rejects.toThrow(`${folder}: a save was cut off here, and cannot be undone: `);
  });

  test.each([
    ["leads out of the folder", "../outside/secret"],
    ["goes through a link", "link/secret"],
    ["is of a lock", ".webgpu-lora.lock/x"],
  ])("moves nothing where the plan is a stranger's and a name %s", async (_, name) => {
    mkdirSync(join(parent, "outside"));
    writeFileSync(join(parent, "outside/secret"), "mine");
    mkdirSync(folder, { recursive: true });
    symlinkSync("../../outside", join(folder, "link"));
    plan("config", name);
    put(join(STAGING, "new-0"), "");
    put(join(STAGING, "old-1"), "planted");
    await expect(folderFiles(folder).size("config")).rejects.toThrow(/lists no files of this folder/);
    expect(readFileSync(join(parent, "outside/secret"), "utf8")).toBe("mine");
    expect(readdirSync(join(folder, STAGING)).sort()).toEqual(["new-0", "old-1", "plan.json"]);
  });

  test.each([["{"], ["[1]"], ['{"name":"a"}']])("is refused where its plan is %s", (text) => {
    put(SAVE, text);
    expect(() => lockFolder(folder)).toThrow(/plan\.json: lists no files of this folder/);
    expect(readdirSync(folder)).toEqual([STAGING]);
  });

  test("is refused where something else is in the place of what is staged", () => {
    put(STAGING, "mine");
    expect(() => lockFolder(folder)).toThrow(/\.webgpu-lora\.save: is no folder/);
    expect(readFileSync(join(folder, STAGING), "utf8")).toBe("mine");
  });
});

describe("what is in the way of a folder is named", () => {
  test("also where it comes while a process has the folder", async () => {
    const lock = lockFolder(folder);
    writeFileSync(join(folder, ".webgpu-lora.save"), "");
    const files = new Map([["adapter_config.json", "{}"]]);
    await expect(folderWriter(folder).write(files)).rejects.toThrow(
      /: cannot be written to: EEXIST[\s\S]*choose another folder/,
    );
    lock.release();
  });

  test("a file, a file above it, a link that leads nowhere, a link to a file", () => {
    writeFileSync(join(parent, "file"), "");
    symlinkSync("nowhere", join(parent, "dangling"));
    symlinkSync("file", join(parent, "tofile"));
    const said = (name: string) => {
      folder = join(parent, name);
      try {
        lockFolder(folder);
        return "locked";
      } catch (error) {
        return (error as Error).message;
      }
    };
    expect(said("file")).toContain(`cannot be made: ${parent}/file is a file`);
    expect(said("file/out")).toContain(`cannot be made: ${parent}/file is a file`);
    expect(said("dangling")).toContain(
      `cannot be made: ${parent}/dangling is a link to nowhere, which is not there`,
    );
    expect(said("dangling/out")).toContain("is a link to nowhere, which is not there");
    expect(said("tofile")).toContain("is a link to a file");
    expect(readdirSync(parent).sort()).toEqual(["dangling", "file", "tofile"]);
  });

  test.runIf(process.platform === "linux")("a place where no folder can be", () => {
    expect(() => lockFolder("/proc/none/out")).toThrow(/^\/proc\/none\/out: cannot be written to: ENOENT/);
  });

  test("something that is no lock in the lock's place", () => {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, LOCK), "");
    expect(() => lockFolder(folder)).toThrow(/\.webgpu-lora\.lock cannot be taken[\s\S]*remove it/);
    expect(readdirSync(folder)).toEqual([LOCK]);
  });
});
