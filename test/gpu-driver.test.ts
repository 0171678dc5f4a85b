import { spawn } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Card, driverEnvironment, missingDriver } from "../kernels-bench/compiled/driver.ts";
import { bundleForNode } from "./support/bundle.ts";
import { ROOT } from "./support/shaders.ts";

const missing = missingDriver();
if (missing !== undefined) console.warn(`skipped: a GPU's driver without the card: ${missing}`);

const outdir = join(ROOT, `node_modules/.cache/webgpu-lora/gpu-driver-${process.pid}`);
const program = join(outdir, "main.mjs");

beforeAll(async () => {
  if (missing !== undefined) return;
  mkdirSync(outdir, { recursive: true });
  await bundleForNode({
    // Where the fixtures are found from, whose helper lies there.
    define: { "import.meta.dirname": JSON.stringify(join(ROOT, "test/support")) },
    entryPoints: [join(ROOT, "test/platform/gpu-driver-main.ts")],
    outfile: program,
  });
});
afterAll(() => rmSync(outdir, { recursive: true, force: true }));

/** What a run from one step on left behind. */
interface Run {
  readonly code: number | null;
  readonly device: string;
  readonly done: readonly string[];
  readonly stderr: string;
}

function runFrom(gpu: Card, sizes: string, step: number): Promise<Run> {
  // Statistics of every pipeline on stderr, none from a cache.
  const env = driverEnvironment(gpu, "shaderstats,nocache");
  const child = spawn(process.execPath, [program, String(step), sizes], { env });
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      const [device = "", ...done] = stdout.split("\n").filter(Boolean);
      resolve({ code, device, done, stderr });
    });
  });
}

/**
 * All steps. The shim's memory becomes fragmented until a large allocation fails, which the driver does not always survive:
 * then the rest is done by a new process, as long as that gets on.
 */
async function runAll(gpu: Card, sizes: string): Promise<Run> {
  const run = await runFrom(gpu, sizes, 0);
  let { code, stderr } = run;
  const done = [...run.done];
  const isOutOfMemory = (ended: Run) => ended.code === null || ended.stderr.includes(OUT_OF_MEMORY);
  for (let last = run; code !== 0 && isOutOfMemory(last) && last.done.length > 0; ) {
    last = await runFrom(gpu, sizes, done.length);
    done.push(...last.done);
    stderr += last.stderr;
    code = last.code;
  }
  return { ...run, code, done, stderr };
}

const OUT_OF_MEMORY = "VK_ERROR_OUT_OF_DEVICE_MEMORY";

/** Labels of the pipelines that have not enough registers. */
function spilling(stderr: string): string[] {
  return stderr
    .split("@@PIPELINE ")
    .slice(1)
    .filter((part) => /^Spilled [SV]GPRs: [1-9]/m.test(part))
    .map((part) => part.slice(0, part.indexOf("\n")));
}

describe.skipIf(missing !== undefined)("a GPU's driver without the card", () => {
  test.each([
    ["navi31", "every size", 600],
    ["gfx1150", "ends", 220],
    ["polaris10", "ends", 220],
  ] as const)(
    "%s takes every launch of every kernel (%s), and no pipeline spills a register",
    async (gpu, sizes, least) => {
      const { code, device, done, stderr } = await runAll(gpu, sizes);
      const last = stderr.slice(-2000);
      expect(code, `after ${done.at(-1)}: ${last}`).toBe(0);
      expect(device).toMatch(new RegExp(`${gpu}\\b.*, profile gpu$`));
      expect(done.length).toBeGreaterThan(least);
      expect(stderr.match(/^Spilled VGPRs: \d+/gm)?.length).toBeGreaterThan(100);
      expect(spilling(stderr)).toEqual([]);
    },
    900_000,
  );
});
