// npm run bench:peers: this package beside other WebGPU libraries, on the same device, in turns.
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { describeDevice } from "../../src/cli/format.ts";
import { checkWritable } from "../../src/cli/output-folder.ts";
import { installedVersion, packageVersion } from "../../src/cli/version.ts";
import type { Device } from "../../src/gpu/device.ts";
import { folderWriter } from "../../src/platform/node-folders/folder-writer.ts";
import { openNodeDevice } from "../../src/platform/node-gpu.ts";
import { waitAsleep } from "../../src/platform/node-wait.ts";
import { fail, LoraError } from "../../src/util/fail.ts";
import { deviceId } from "../device-id.ts";
import { countCalls } from "./counting.ts";
import { answerAsLlama, contestDecoding, formatDecoding } from "./decoding.ts";
import { type Contest, contest } from "./duel.ts";
import {
  checkPeerNames,
  offerWebGpu,
  openPeer,
  openPeers,
  ownEngines,
  PEER_NAMES,
  resting,
} from "./engines.ts";
import type { LlamaBackend } from "./llama.ts";
import { initialWeights } from "./ours.ts";
import {
  type ColdStep,
  formatContest,
  formatPeers,
  PEERS_VERSION,
  type PeersReport,
} from "./peers-result.ts";
import type { Direction, Work } from "./work.ts";

interface Options {
  peers: string[];
  work: string[];
  rounds: number;
  outputDir: string;
  cold?: string;
  first: boolean;
  rest: boolean;
  python?: string;
  limit: number;
  llama?: [backend: LlamaBackend, gguf: string];
}

const DIRECTIONS: readonly Direction[] = ["forward", "forward+backward"];

/** The works, from cheap to dear; elementwise ones on 16 MB tensors. */
function allWorks(weights: Extract<Work, { kind: "training" }>["weights"]): Work[] {
  return [
    { kind: "matmul", n: 512 },
    { kind: "matmul", n: 1024 },
    ...[128, 1024].flatMap((tokens) =>
      DIRECTIONS.map((direction): Work => ({ kind: "attention", tokens, heads: 4, headDim: 64, direction })),
    ),
    ...DIRECTIONS.flatMap((direction): Work[] => [
      { kind: "rms-norm", rows: 4096, cols: 1024, direction },
      { kind: "swiglu", rows: 4096, cols: 1024, direction },
      { kind: "rope", tokens: 4096, heads: 16, headDim: 64, direction },
      { kind: "cross-entropy", rows: 128, vocab: 32_000, direction },
    ]),
    { kind: "adamw", count: 4096 * 1024 },
    { kind: "training", weights },
  ];
}

const DECODING = "decoding";
const KINDS = [
  "matmul",
  "attention",
  "rms-norm",
  "swiglu",
  "rope",
  "cross-entropy",
  "adamw",
  "training",
  DECODING,
];

function checkWorks(words: readonly string[]): void {
  const unknown = words.find((word) => !KINDS.includes(word));
  if (unknown !== undefined)
    fail("bench:peers", `there is no work "${unknown}"`, `works: ${KINDS.join(", ")}`);
}

async function compare(options: Options): Promise<void> {
  checkPeerNames(options.peers);
  checkWorks(options.work);
  checkWritable(options.outputDir);
  const device = await openNodeDevice();
  console.log(describeDevice(device.info));
  countCalls();
  const isDecodingAlone = options.work.every((work) => work === DECODING) && options.work.length > 0;
  const peers = isDecodingAlone ? [] : await openPeers(options.peers, console.error);
  const rested = options.rest ? peers.map((peer) => resting(peer, waitAsleep)) : peers;
  const engines = [...ownEngines(device), ...rested];
  const works = allWorks(await initialWeights(device)).filter(
    ({ kind }) => options.work.length === 0 || options.work.includes(kind),
  );
  const contests: Contest[] = [];
  for (const work of works) {
    const result = await contest(work, engines, options.rounds);
    contests.push(result);
    console.log(["", ...formatContest(result)].join("\n"));
  }
  const trains = works.some(({ kind }) => kind === "training");
  const cold = trains && options.first ? coldSteps(contests) : [];
  console.log(formatPeers({ contests: [], cold }).join("\n"));
  const { rounds, rest, work, python, limit } = options;
  const decodes = work.length === 0 || work.includes(DECODING);
  const decoding = decodes
    ? await contestDecoding(device, { rounds, python, limit, note: console.error })
    : undefined;
  if (decoding) console.log(["", ...formatDecoding(decoding)].join("\n"));
  const found = { rounds, ...(rest && { rest }), contests, cold, ...(decoding && { decoding }) };
  await store(device, found, options);
}

async function store(
  device: Device,
  found: Pick<PeersReport, "rounds" | "rest" | "contests" | "cold" | "decoding">,
  { outputDir, work }: Options,
): Promise<void> {
  const report: PeersReport = {
    format: "webgpu-lora peers",
    version: PEERS_VERSION,
    package: packageVersion(),
    date: new Date().toISOString(),
    runtime: `Node ${process.version}, Dawn (webgpu ${installedVersion("webgpu")})`,
    device: device.info.name,
    software: device.info.software,
    ...found,
  };
  const rounded = (_: string, value: unknown) =>
    typeof value === "number" ? Number(value.toPrecision(6)) : value;
  const parts = ["peers", deviceId(device), ...(found.rest ? ["rest"] : []), ...work]; // some works take no place of all
  const name = `${parts.join("-")}.json`;
  await folderWriter(outputDir).write(new Map([[name, `${JSON.stringify(report, rounded, 1)}\n`]]));
  console.error(`written: ${resolve(outputDir, name)}`);
}

/** Each engine's first step in a process of its own, with the drivers' shader caches off. */
function coldSteps(contests: readonly Contest[]): ColdStep[] {
  const training = contests.at(-1)?.entries.filter(({ failure }) => failure === undefined) ?? [];
  const names = training.flatMap(({ engine }) => shortName(engine) ?? []);
  return names.map((name) => {
    const env = {
      ...process.env,
      MESA_SHADER_CACHE_DISABLE: "true",
      __GL_SHADER_DISK_CACHE: "0",
      NODE_NO_WARNINGS: "1",
    };
    const script = process.argv[1] as string;
    const child = spawnSync(process.execPath, [script, "--cold", name], { env, encoding: "utf8" });
    const line = child.stdout.trim().split("\n").at(-1) ?? "";
    return child.status === 0
      ? (JSON.parse(line) as ColdStep)
      : { engine: name, failure: child.stderr.trim().split("\n").at(-1) ?? "" };
  });
}

const OURS = "ours";

function shortName(engine: string): string | undefined {
  if (engine === "webgpu-lora") return OURS;
  return { "@jax-js/jax": "jax", "tfjs-backend-webgpu": "tfjs" }[engine];
}

/** The child's part: times the first step and prints it. */
async function measureCold(name: string): Promise<void> {
  const device = await openNodeDevice();
  const weights = await initialWeights(device);
  offerWebGpu();
  const engine = name === OURS ? ownEngines(device)[0] : await openPeer(name);
  const prepared = await engine?.prepare({ kind: "training", weights });
  if (!engine || !prepared) fail("bench:peers", `${name} cannot train`);
  const started = performance.now();
  await prepared.start()();
  console.log(JSON.stringify({ engine: engine.name, seconds: (performance.now() - started) / 1000 }));
}

function readCount(text: string): number {
  const rounds = Number(text);
  if (!Number.isInteger(rounds) || rounds < 1)
    throw new InvalidArgumentError("wanted a whole number above 0");
  return rounds;
}

const command = new Command("bench:peers")
  .description("times webgpu-lora beside other WebGPU libraries on the same device, in turns")
  .option("--peers <names...>", "who takes part", PEER_NAMES)
  .option("--work <names...>", `only these of ${KINDS.join(", ")}`, [])
  .option("--rounds <n>", "rounds of one turn each", readCount, 5)
  .option("--output-dir <path>", "folder for peers-DEVICE.json", "kernels-bench/results")
  .option("--rest", "let the peers' waits sleep like ours instead of polling: only the kernels differ", false)
  .option("--python <path>", "an interpreter with torch, transformers and peft, for the work decoding")
  .option("--limit <seconds>", "how long an engine may take for a token when decoding", readCount, 300)
  .option("--no-first", "skip the first steps without a shader cache")
  .option("--cold <name>", "time one first step and print it")
  .option(
    "--llama <words...>",
    "decode with llama.cpp, vulkan or cpu, and a GGUF file: one of the engines' own processes",
  );

command.parse();
const options = command.opts<Options>();
try {
  if (options.llama) await answerAsLlama(...options.llama);
  else if (options.cold !== undefined) await measureCold(options.cold);
  else await compare(options);
  process.exit(0); // Dawn keeps Node alive
} catch (error) {
  if (!(error instanceof LoraError)) throw error;
  console.error(`error: ${error.message}`);
  process.exit(1);
}
