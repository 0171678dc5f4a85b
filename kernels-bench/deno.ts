// `webgpu-lora bench` in Deno, with the WebGPU that Deno itself has:
//   deno run --unstable-webgpu --allow-read --allow-write --allow-env --allow-sys node_modules/webgpu-lora/dist/bench/deno.js
import { Command } from "commander";
import { addFlags, givenFlags } from "../src/cli/flags.ts";
import { settle } from "../src/cli/settings.ts";
import { BENCH_OPTIONS } from "../src/cli/tables/bench.ts";
import { processTerminal } from "../src/cli/terminal.ts";
import { openWebDevice } from "../src/platform/web-gpu.ts";
import { LoraError } from "../src/util/fail.ts";
import { benchProgram } from "./program.ts";

/** Replaced at build time by the version in package.json: looking for that file would need more permissions. */
declare const PACKAGE_VERSION: string;
declare const Deno: { args: string[]; version: { deno: string }; exit(code: number): never };

const terminal = processTerminal();
const program = benchProgram({
  openDevice: () => openWebDevice(),
  runtime: `Deno ${Deno.version.deno}, wgpu`,
  version: PACKAGE_VERSION,
  serve: async () => {
    terminal.note("error: --serve works in Node: npx webgpu-lora bench --serve");
    return 2;
  },
});

async function main(): Promise<number> {
  const command = new Command("bench").argument("[kernels...]");
  addFlags(command, [BENCH_OPTIONS]);
  command.parse(Deno.args, { from: "user" });
  const words = command.args.length > 0 ? [{ key: "kernels", name: "kernels", value: command.args }] : [];
  const { settings } = settle("bench", BENCH_OPTIONS, [words, givenFlags(command, BENCH_OPTIONS)]);
  return program(settings, terminal);
}

const exitCode = await main().catch((error: unknown) => {
  if (!(error instanceof LoraError)) throw error;
  terminal.note(`error: ${error.message}`);
  return 1;
});
await terminal.flush();
Deno.exit(exitCode);
