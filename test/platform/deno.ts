import { execFile, execFileSync } from "node:child_process";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { ROOT } from "../support/shaders.ts";

/** The program. */
export const DENO = join(ROOT, "node_modules/.bin/deno");

/** Why Deno cannot run here, or undefined. */
export function denoObstacle(): string | undefined {
  try {
    execFileSync(DENO, ["--version"], { stdio: "pipe" });
    return undefined;
  } catch (error) {
    return `Deno does not run here: ${String(error).split("\n")[0]}`;
  }
}

/**
 * The environment that Deno runs in. It finds a driver as Node did: where that is SwiftShader, its folder holds a Vulkan
 * loader too.
 */
export function denoVariables(cache: string): NodeJS.ProcessEnv {
  const manifest = process.env.VK_ICD_FILENAMES;
  const driver = manifest?.includes("swiftshader") ? { LD_LIBRARY_PATH: dirname(manifest) } : {};
  return { ...driver, DENO_DIR: cache, DENO_NO_UPDATE_CHECK: "1" };
}

/** Runs a script in Deno with WebGPU, the given permissions and nothing from the network; returns what it printed. */
export async function runDeno(
  cache: string,
  permissions: readonly string[],
  script: string,
  args: readonly string[],
): Promise<string> {
  const flags = ["--quiet", "--no-config", "--no-lock", "--no-remote", "--no-npm", "--unstable-webgpu"];
  const env = { ...process.env, ...denoVariables(cache) };
  const words = ["run", ...flags, ...permissions, script, ...args];
  const { stdout } = await promisify(execFile)(DENO, words, { env });
  return stdout;
}
