// `webgpu-lora bench` in Node: what src/cli/bench.ts loads from beside it.
import type { BenchProgram } from "../src/cli/commands/bench.ts";
import { installedVersion, packageVersion } from "../src/cli/version.ts";
import { openNodeDevice } from "../src/platform/node-gpu.ts";
import { benchProgram } from "./program.ts";
import { servePage } from "./serve.ts";

export const program: BenchProgram = benchProgram({
  openDevice: () => openNodeDevice(),
  runtime: `Node ${process.version}, Dawn (webgpu ${installedVersion("webgpu") ?? "unknown"})`,
  version: packageVersion(),
  serve: servePage,
});
