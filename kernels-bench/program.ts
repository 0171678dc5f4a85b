import { resolve } from "node:path";
import type { BenchProgram, BenchSettings } from "../src/cli/commands/bench.ts";
import { describeDevice } from "../src/cli/format.ts";
import { watchInterrupt } from "../src/cli/interrupt.ts";
import { checkWritable } from "../src/cli/output-folder.ts";
import type { Terminal } from "../src/cli/terminal.ts";
import type { Device } from "../src/gpu/device.ts";
import { folderWriter } from "../src/platform/node-folders/folder-writer.ts";
import { readTextFile } from "../src/platform/node-text.ts";
import { REGISTRY } from "./cases.ts";
import { formatComparison } from "./compare.ts";
import { reportPage } from "./report.ts";
import { type BenchReport, parseReport, serializeReport } from "./result.ts";
import { type RunOptions, runBench } from "./run.ts";
import { listCases, type Selection, selectCases } from "./select.ts";
import { formatReport } from "./table.ts";

/** What differs between Node and Deno. */
export interface Environment {
  openDevice(): Promise<Device>;
  readonly runtime: string;
  /** Version of the package. */
  readonly version: string;
  /** Serves the page that runs the same benchmark in a browser, until the process is stopped. */
  serve(port: number, terminal: Terminal): Promise<number>;
}

/** The command, for an environment. Returns the exit code. */
export function benchProgram(environment: Environment): BenchProgram {
  return async (settings, terminal) => {
    if (settings.serve) return environment.serve(settings.port, terminal);
    const selection = { kernels: settings.kernels, sizes: settings.size };
    if (settings.list) {
      for (const line of listCases(REGISTRY, selection)) terminal.print(line);
      return 0;
    }
    return measure(settings, selection, environment, terminal);
  };
}

async function measure(
  settings: BenchSettings,
  selection: Selection,
  { openDevice, runtime, version }: Environment,
  terminal: Terminal,
): Promise<number> {
  selectCases(REGISTRY, selection); // a misspelt name is found before a device is opened
  const before = await readEarlier(settings.compare);
  checkWritable(settings.output_dir);
  const device = await openDevice();
  terminal.note(describeDevice(device.info));
  const options = { ...selection, budgetSeconds: settings.budget, package: version, runtime };
  const report = await runWithProgress(device, options, terminal);
  const files = await writeReport(settings.output_dir, report, before);
  if (settings.json) terminal.write(serializeReport(report));
  else for (const line of formatReport(report)) terminal.print(line);
  if (before) for (const line of ["", ...formatComparison(before, report)]) terminal.print(line);
  terminal.note(`written: ${files.join(", ")}`);
  return report.failed.length > 0 ? 1 : 0;
}

async function readEarlier(path: string | undefined): Promise<BenchReport | undefined> {
  return path === undefined ? undefined : parseReport(await readTextFile(path), path);
}

async function runWithProgress(
  device: Device,
  options: RunOptions,
  terminal: Terminal,
): Promise<BenchReport> {
  const interrupt = watchInterrupt(() => terminal.note("finishing: the case that runs is the last one"));
  const erase = () => terminal.isScreen && terminal.write("\r\x1b[K");
  try {
    return await runBench(device, options, {
      isStopped: () => interrupt.exitCode !== undefined,
      onCase(name, done, total) {
        if (terminal.isScreen) terminal.write(`\r\x1b[K${done}/${total} ${name}`.slice(0, 78));
      },
    });
  } finally {
    erase();
    interrupt.release();
  }
}

/** Writes the result and the page that shows it, both or none; returns their paths. */
async function writeReport(folder: string, report: BenchReport, before?: BenchReport): Promise<string[]> {
  const { id } = report.device;
  const files = new Map([
    [`${id}.json`, serializeReport(report)],
    [`${id}.html`, reportPage(report, before)],
  ]);
  await folderWriter(folder).write(files);
  return [...files.keys()].map((name) => resolve(folder, name));
}
