import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { fail } from "../../util/fail.ts";
import { serveOnLoopback } from "../loopback.ts";
import type { Settled } from "../settings.ts";
import { staticFiles } from "../static-files.ts";
import type { WEB_OPTIONS } from "../tables/web.ts";
import type { Terminal } from "../terminal.ts";

/**
 * `webgpu-lora web`: serves the page that fine-tunes, which lies in a folder beside this bundle.
 * @returns the exit code
 */
export async function runWeb({ settings }: Settled<typeof WEB_OPTIONS>, terminal: Terminal): Promise<number> {
  const folder = fileURLToPath(new URL("./page", import.meta.url));
  if (!existsSync(folder)) fail("web", `${folder} is not there`, "build it with node build.mjs");
  return serveOnLoopback("web", settings.port, await staticFiles(folder), terminal);
}
