import { execFile, execFileSync } from "node:child_process";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { ROOT } from "../support/shaders.ts";

const DENO = join(ROOT, "node_modules/.bin/deno");

/** Why Deno cannot run here, or undefined. */
export function denoObstacle(): string | undefined {
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

/** Runs a script in Deno with WebGPU, the given permissions and nothing from the network; returns what it printed. */
export async function runDeno(
  cache: string,
  permissions: readonly string[],
  script: string,
  args: readonly string[],
): Promise<string> {
  const flags = ["--quiet", "--no-config", "--no-lock", "--no-remote", "--no-npm", "--unstable-webgpu"];
  const env = { ...process.env, ...driverEnvironment(), DENO_DIR: cache, DENO_NO_UPDATE_CHECK: "1" };
  const words = ["run", ...flags, ...permissions, script, ...args];
  const { stdout } = await promisify(execFile)(DENO, words, { env });
  return stdout;
}
