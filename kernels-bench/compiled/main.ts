// npm run bench:compiled: what a GPU's own compiler makes of the kernels of the benchmark, without the GPU.
import { spawn } from "node:child_process";
import { writeSync } from "node:fs";
import { resolve } from "node:path";
import { Command } from "commander";
import { checkWritable } from "../../src/cli/output-folder.ts";
import { packageVersion } from "../../src/cli/version.ts";
import { folderWriter } from "../../src/platform/node-folders/folder-writer.ts";
import { openNodeDevice } from "../../src/platform/node-gpu.ts";
import { readTextFile } from "../../src/platform/node-text.ts";
import { fail, LoraError } from "../../src/util/fail.ts";
import { REGISTRY } from "../cases.ts";
import { selectCases } from "../select.ts";
import { faultsOf, formatFaults, incomparable } from "./compare-compiled.ts";
import { compiledPage, formatCompiled } from "./compiled-page.ts";
import { type CompiledReport, makeReport, parseCompiled, serializeCompiled } from "./compiled-result.ts";
import { MARK, readCompilerOutput } from "./compiler-output.ts";
import { type Card, cardOf, driverEnvironment, missingDriver } from "./driver.ts";
import { kernelsOfCases } from "./kernels-of-cases.ts";

/** The cases of `host` launch what training steps launch. */
const { host: _, ...OWN_KERNELS } = REGISTRY;

interface Options {
  gpu: string;
  compare?: string;
  outputDir: string;
  child: boolean;
}

/** What the process on the card's driver tells the one that started it. */
type Launched = Pick<CompiledReport, "device" | "cases"> & {
  kernels: Pick<CompiledReport["kernels"][number], "name" | "constants">[];
};

/** @returns the exit code: 1 where a kernel is worse than before */
async function report(kernels: readonly string[], options: Options): Promise<number> {
  const card = cardOf(options.gpu);
  selectCases(OWN_KERNELS, { kernels, sizes: [] }); // a misspelt name is found before anything starts
  const before = await readEarlier(options.compare, card);
  const missing = missingDriver();
  if (missing !== undefined) throw new LoraError("no-adapter", "bench:compiled", missing);
  checkWritable(options.outputDir);
  const after = await compileOn(card, kernels);
  const comparison = before ? formatFaults(before, after) : [];
  for (const line of [...formatCompiled(after), "", ...comparison]) console.log(line);
  const name = `compiled-${card}`;
  const files = new Map([
    [`${name}.json`, serializeCompiled(after)],
    [`${name}.html`, compiledPage(after, comparison)],
  ]);
  await folderWriter(options.outputDir).write(files);
  console.error(`written: ${[...files.keys()].map((file) => resolve(options.outputDir, file)).join(", ")}`);
  return before && !incomparable(before, after) && faultsOf(before, after).length > 0 ? 1 : 0;
}

async function readEarlier(path: string | undefined, card: Card): Promise<CompiledReport | undefined> {
  if (path === undefined) return undefined;
  const report = parseCompiled(await readTextFile(path), path);
  if (report.card !== card) fail(path, `is of ${report.card}`, `--gpu is ${card}`);
  return report;
}

/** Runs this script again on the card's driver: a process has one set of drivers. */
async function compileOn(card: Card, kernels: readonly string[]): Promise<CompiledReport> {
  const args = ["--child", "--gpu", card, ...kernels];
  const { code, stdout, stderr } = await runScript(
    args,
    driverEnvironment(card, "cs,asm,shaderstats,nocache"),
  );
  if (code !== 0) fail("bench:compiled", `the process on ${card}'s driver failed: ${stderr.slice(-2000)}`);
  const launched = JSON.parse(stdout) as Launched;
  const compiled = readCompilerOutput(stderr);
  return makeReport({
    package: packageVersion(),
    card,
    ...launched,
    kernels: launched.kernels.map((kernel, i) => {
      const own = compiled.get(i) ?? fail("bench:compiled", `the driver compiled no ${kernel.name}`);
      return { ...kernel, ...own };
    }),
  });
}

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function runScript(args: readonly string[], env: NodeJS.ProcessEnv): Promise<Ended> {
  const child = spawn(process.execPath, [process.argv[1] as string, ...args], { env });
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

/** The child's part: compiles each kernel once, announced on standard error, where the compiler prints. */
async function compile(kernels: readonly string[]): Promise<void> {
  const device = await openNodeDevice({ halfPrecision: true, untriedMatrices: true });
  const found = await kernelsOfCases(selectCases(OWN_KERNELS, { kernels, sizes: [] }), device);
  for (const [i, kernel] of found.kernels.entries()) {
    writeSync(2, `\n${MARK}${i}\n`);
    kernel.compile(device);
    await device.check();
  }
  const { name } = device.info;
  const launched: Launched = {
    device: name,
    kernels: found.kernels.map(({ name, constants }) => ({ name, constants })),
    cases: Object.fromEntries(found.cases),
  };
  await new Promise((resolve) => process.stdout.write(JSON.stringify(launched), resolve));
}

const command = new Command("bench:compiled")
  .description(
    "what a GPU's own compiler makes of the benchmark's kernels; the GPU is not needed, its driver is",
  )
  .argument("[kernels...]", "only these; npm run bench -- --list shows them")
  .option("--gpu <name>", "the card", "navi31")
  .option("--compare <file>", "an earlier result: exit code 1 where a kernel is worse than it was")
  .option("--output-dir <path>", "folder for compiled-GPU.json and .html", ".cache/compiled")
  .option("--child", "compile on the driver of this process and print what the parent needs", false);

command.parse();
const options = command.opts<Options>();
try {
  if (options.child) await compile(command.args);
  process.exit(options.child ? 0 : await report(command.args, options)); // Dawn keeps Node alive
} catch (error) {
  if (!(error instanceof LoraError)) throw error;
  console.error(`error: ${error.message}`);
  process.exit(1);
}
