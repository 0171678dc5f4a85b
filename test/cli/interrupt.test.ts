import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import {
  unlessInterrupted,
  watchInterrupt,
  watchUncaught,
  writeUnlessInterrupted,
} from "../../src/cli/interrupt.ts";
import { folderWriter } from "../../src/platform/node-folders/folder-writer.ts";

afterEach(() => vi.restoreAllMocks());

test("the first signal is a wish, its echo is ignored, a later one ends the process at once", () => {
  const exit = vi.spyOn(process, "exit").mockReturnValue(undefined as never);
  const clock = vi.spyOn(performance, "now").mockReturnValue(5000);
  const others = process.listeners("SIGINT");
  let asked = 0;
  const interrupt = watchInterrupt(() => asked++);
  const [own] = process.listeners("SIGINT").filter((listener) => !others.includes(listener));
  const at = (milliseconds: number) => {
    clock.mockReturnValue(milliseconds);
    own!("SIGINT");
  };
  expect(interrupt.exitCode).toBeUndefined();
  at(5000);
  at(5900); // npx passes the terminal's signal on
  expect([asked, interrupt.exitCode, exit.mock.calls.length]).toEqual([1, 130, 0]);
  at(6100);
  expect(exit).toHaveBeenCalledWith(130);
  interrupt.release();
  expect(process.listeners("SIGINT")).toEqual(others);
});

test("a task is waited for to its end or error, or to a signal", async () => {
  const never = { came: new Promise<void>(() => {}) };
  await expect(unlessInterrupted(Promise.reject(new Error("broken")), never)).rejects.toThrow("broken");
  await unlessInterrupted(Promise.resolve(), never);
  await unlessInterrupted(new Promise(() => {}), { came: Promise.resolve() });
});

test("an error that nobody caught is kept for who is at work, then left to the system again", () => {
  const others = process.listeners("uncaughtException");
  const uncaught = watchUncaught();
  const [own] = process.listeners("uncaughtException").filter((listener) => !others.includes(listener));
  uncaught.check();
  for (const message of ["the first", "another"]) own!(new Error(message), "uncaughtException");
  expect(() => uncaught.check()).toThrow("the first");
  uncaught.release();
  expect(process.listeners("uncaughtException")).toEqual(others);
});

test.each([
  { after: 2, removed: undefined, left: [] },
  { after: 9, removed: [], left: ["config", "weights"] },
])("a signal at piece $after of 3 leaves $left, nothing half-written", async ({ after, removed, left }) => {
  const folder = mkdtempSync(join(tmpdir(), "interrupt-"));
  const interrupt: { exitCode: number | undefined } = { exitCode: undefined };
  async function* pieces() {
    for (let i = 1; i <= 3; i++) {
      if (i === after) interrupt.exitCode = 130;
      yield new Uint8Array(10);
    }
  }
  const files = new Map<string, string | AsyncIterable<Uint8Array>>([
    ["config", "{}"],
    ["weights", pieces()],
  ]);
  try {
    expect(await writeUnlessInterrupted(folderWriter(folder), files, interrupt)).toEqual(removed);
    expect(readdirSync(folder).sort()).toEqual(left);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
