import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { fail } from "../../util/fail.ts";
import { serveOnLoopback } from "../loopback.ts";
import type { Settled } from "../settings.ts";
import { staticFiles } from "../static-files.ts";
import type { WEB_OPTIONS } from "../tables/web.ts";
import type { Terminal } from "../terminal.ts";

/** The bundled model, which the package has once: its page is without. */
const MODEL = fileURLToPath(new URL("../models/demo", import.meta.url));

/**
 * `webgpu-lora web`: serves the page that fine-tunes, which lies in a folder beside this bundle.
 * @returns the exit code
 */
export async function runWeb({ settings }: Settled<typeof WEB_OPTIONS>, terminal: Terminal): Promise<number> {
  const folder = fileURLToPath(new URL("./page", import.meta.url));
  if (!existsSync(folder)) fail("web", `${folder} is not there`, "build it with node build.mjs");
  const files = await staticFiles(folder, existsSync(join(folder, "model")) ? {} : { "/model": MODEL });
  return serveOnLoopback("web", settings.port, files, terminal);
}
