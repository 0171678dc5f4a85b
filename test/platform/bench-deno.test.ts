import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseReport } from "../../kernels-bench/result.ts";
import { testDevice } from "../support/device.ts";
import { denoObstacle, runDeno } from "./deno.ts";
import { buildPackage, PATIENCE, temporaryFolder } from "./environment.ts";

test(
  "the benchmark runs in Deno: table, result, page",
  async ({ skip }) => {
    const reason = denoObstacle();
    skip(reason !== undefined, reason);
    await testDevice(); // finds the driver
    const folder = temporaryFolder();
    await buildPackage(folder);
    const out = join(folder, "out");
    const words = ["sampling", "--budget", "20s", "--output-dir", out, "--json"];
    const permissions = [`--allow-read=${folder}`, `--allow-write=${folder}`, "--allow-env", "--allow-sys"];
    const script = join(folder, "bench/deno.js");
    const report = parseReport(await runDeno(join(folder, "deno"), permissions, script, words), "Deno");
    console.log(`Deno measured ${report.device.name} by ${report.clock}`);
    expect(report.runtime).toMatch(/^Deno \d/);
    expect(report.failed).toEqual([]);
    expect(report.results.map(({ kernel }) => kernel)).toContain("sampling");
    expect(report.notes.join("\n")).toMatch(/no subgroups/);
    expect(readdirSync(out).sort()).toEqual([`${report.device.id}.html`, `${report.device.id}.json`]);
  },
  PATIENCE,
);
