import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bundleForNode } from "../support/bundle.ts";
import { ROOT } from "../support/shaders.ts";
import { CASES } from "./cases.ts";

const program = join(ROOT, `node_modules/.cache/webgpu-lora/hostile-${process.pid}/reader.mjs`);
const folder = mkdtempSync(join(tmpdir(), "webgpu-lora-hostile-"));
beforeAll(() => bundleForNode({ entryPoints: [join(ROOT, "test/hostile/reader.ts")], outfile: program }));
afterAll(() => {
  for (const path of [folder, dirname(program)]) rmSync(path, { recursive: true, force: true });
});

/** Readers of a folder, not of a file in it. */
const FOLDERS = ["checkpoint", "tokenizer"];

test.each(Object.entries(CASES))(
  "%s: cannot hold the process",
  (_, { reader, name, content, beside, length, message }) => {
    const place = mkdtempSync(join(folder, "case-"));
    mkdirSync(place, { recursive: true });
    const file = join(place, name);
    writeFileSync(file, content());
    if (beside) writeFileSync(join(place, beside[0]), beside[1]());
    if (length !== undefined) truncateSync(file, length);
    const path = FOLDERS.includes(reader) ? place : file;
    const output = execFileSync(process.execPath, [program, reader, path], {
      encoding: "utf8",
      timeout: 60_000,
    });
    rmSync(place, { recursive: true });
    const result = JSON.parse(output) as { message: string; seconds: number; megabytes: number };
    // With this setting: what each takes, of the processor and of memory.
    if (process.env.HOSTILE_TIMES)
      console.log(`${_}: ${result.seconds.toFixed(2)} s, ${result.megabytes.toFixed(0)} MB`);
    expect(result.message).toMatch(message);
    expect(result.megabytes).toBeLessThan(230);
  },
);
