import { execFile, execFileSync } from "node:child_process";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { BUNDLED_MODEL } from "../support/fixtures.ts";
import { allShaders, featuresOf, ROOT } from "../support/shaders.ts";
import type { DenoReport } from "./deno-main.ts";
import {
  buildPackage,
  LOSS_TOLERANCE,
  lossDifference,
  PATIENCE,
  temporaryFolder,
  tenStepsInNode,
} from "./environment.ts";
import { serve } from "./serve.ts";

const DENO = join(ROOT, "node_modules/.bin/deno");

/** Why Deno cannot run here, or undefined. */
function obstacle(): string | undefined {
  try {
    execFileSync(DENO, ["--version"], { stdio: "pipe" });
    return undefined;
  } catch (error) {
    return `Deno does not run here: ${String(error).split("\n")[0]}`;
  }
}

/** Deno finds a driver as Node did: where that is SwiftShader, its folder holds a Vulkan loader too. */
function driverEnvironment(): NodeJS.ProcessEnv {
  const manifest = process.env.VK_ICD_FILENAMES;
  return manifest?.includes("swiftshader") ? { LD_LIBRARY_PATH: dirname(manifest) } : {};
}

async function runInDeno(folder: string, url: string): Promise<DenoReport> {
  const permissions = [`--allow-net=${new URL(url).host}`, `--allow-read=${folder}`];
  const flags = [
    "run",
    "--quiet",
    "--no-config",
    "--no-lock",
    "--no-remote",
    "--no-npm",
    "--unstable-webgpu",
  ];
  const script = join(import.meta.dirname, "deno-main.ts");
  const args = [join(folder, "web.js"), `${url}/model`, `${url}/shaders.json`];
  const env = {
    ...process.env,
    ...driverEnvironment(),
    DENO_DIR: join(folder, "deno"),
    DENO_NO_UPDATE_CHECK: "1",
  };
  const { stdout } = await promisify(execFile)(DENO, [...flags, ...permissions, script, ...args], { env });
  return JSON.parse(stdout) as DenoReport;
}

test(
  "Deno compiles every shader and trains as Node does",
  async ({ skip }) => {
    const reason = obstacle();
    skip(reason !== undefined, reason);
    const inNode = await tenStepsInNode();
    const folder = temporaryFolder();
    buildPackage(folder);
    const shaders = (await allShaders()).filter((shader) => featuresOf(shader).length === 0); // Naga knows no subgroups
    const server = await serve({
      "/model/": { folder: BUNDLED_MODEL },
      "/shaders.json": { content: JSON.stringify(shaders) },
    });
    const inDeno = await runInDeno(folder, server.url).finally(server.close);
    console.log(`Deno trained on ${inDeno.device}, compiled ${inDeno.compiled} entry points`);
    expect(inDeno.complaints).toEqual([]);
    expect(inDeno.compiled).toBe(shaders.flatMap(({ entries }) => Object.keys(entries)).length);
    expect(inDeno.losses).toHaveLength(10);
    expect(lossDifference(inNode, inDeno)).toBeLessThan(LOSS_TOLERANCE);
  },
  PATIENCE,
);
