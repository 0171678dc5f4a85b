import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { fail } from "../../util/fail.ts";
import type { Settings } from "../options.ts";
import type { Settled } from "../settings.ts";
import type { BENCH_OPTIONS } from "../tables/bench.ts";
import type { Terminal } from "../terminal.ts";

/** The settings of `webgpu-lora bench`. */
export type BenchSettings = Settings<typeof BENCH_OPTIONS>;

/** What the benchmark's own bundle exports as `program`. Returns the exit code. */
export type BenchProgram = (settings: BenchSettings, terminal: Terminal) => Promise<number>;

/**
 * `webgpu-lora bench`: times every kernel on this device.
 * The benchmark is a bundle of its own beside this file, so that neither the library nor the other commands carry it.
 * @returns the exit code
 */
export async function runBench(
  { settings }: Settled<typeof BENCH_OPTIONS>,
  terminal: Terminal,
): Promise<number> {
  const bundle = new URL("./bench.js", import.meta.url);
  if (!existsSync(fileURLToPath(bundle))) {
    fail("bench", `${fileURLToPath(bundle)} is not there`, "build it with node build.mjs");
  }
  const { program } = (await import(bundle.href)) as { program: BenchProgram };
  return program(settings, terminal);
}
