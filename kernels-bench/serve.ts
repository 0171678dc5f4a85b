import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { serveOnLoopback } from "../src/cli/loopback.ts";
import { staticFiles } from "../src/cli/static-files.ts";
import type { Terminal } from "../src/cli/terminal.ts";
import { fail } from "../src/util/fail.ts";

/** Serves the page of the benchmark, which lies in a folder beside this bundle, until Ctrl-C. */
export async function servePage(port: number, terminal: Terminal): Promise<number> {
  const folder = fileURLToPath(new URL("./page/bench", import.meta.url));
  if (!existsSync(folder)) fail("bench", `${folder} is not there`, "build it with node build.mjs");
  return serveOnLoopback("bench", port, await staticFiles(folder), terminal);
}
