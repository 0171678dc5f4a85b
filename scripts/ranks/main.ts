// Trains as several processes under torchrun, and compares with one; kills ranks; times the exchange.
//   node build.mjs --run scripts/ranks/main.ts [same] [kills] [wire] [--kills N] [--cli FILE]
// Wants torchrun on the path, WEBGPU_LORA_PYTHON where python3 has no torch, and dist/cli.js (npm run build).
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { readHeader } from "../../src/io/formats/safetensors.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { openTorchPeers, shareOf } from "../../src/platform/node-torch-peers.ts";
import { WIRE_TYPES } from "../../src/train/peers.ts";
import { createRandom } from "../../src/util/random.ts";
import { TASKS, writeRows } from "./tasks.ts";
import { processesBelow, type Ranks, torchrun } from "./torchrun.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kills: { type: "string", default: "10" },
    cli: { type: "string", default: "dist/cli.js" },
    child: { type: "boolean", default: false },
  },
});

/** Of this script; a rank that it starts needs none. */
const work = values.child ? "" : mkdtempSync(join(tmpdir(), "webgpu-lora-ranks-"));
let problems = 0;

interface Trained {
  readonly losses: readonly number[];
  readonly adapter: Float32Array;
}

const trainWords = (data: string, output: string, more: readonly string[]) => [
  ...[values.cli, "train", "--model", "models/demo", "--data", data, "--output-dir", output],
  ...["--seed", "3", "--logging-steps", "1", "--eval-steps", "0", "--report-to", "jsonl", ...more],
];

async function read(output: string): Promise<Trained> {
  const lines = readFileSync(join(output, "metrics.jsonl"), "utf8").trim().split("\n");
  const losses = lines.map((line) => JSON.parse(line).loss).filter((loss) => loss !== undefined);
  const files = folderFiles(output);
  const name = "adapter_model.safetensors";
  const { tensors } = await readHeader(files, name);
  const parts = [...tensors.values()].sort((a, b) => a.name.localeCompare(b.name));
  const all = await Promise.all(parts.map(({ begin, end }) => files.read(name, begin, end)));
  return { losses, adapter: new Float32Array(Buffer.concat(all).buffer.slice(0)) };
}

async function train(
  name: string,
  ranks: Omit<Ranks, "words">,
  data: string,
  more: readonly string[],
): Promise<Trained> {
  const output = join(work, name);
  const { code, text } = await torchrun({ ...ranks, words: trainWords(data, output, more) });
  if (code !== 0) throw new Error(`${name} ended with ${code}:\n${text}`);
  return read(output);
}

function compare(name: string, parts: Trained, whole: Trained, most: number): void {
  const losses = Math.max(...whole.losses.map((loss, i) => Math.abs(loss - (parts.losses[i] ?? Number.NaN))));
  const norm = (values: Float32Array) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  const difference = whole.adapter.map((value, i) => value - (parts.adapter[i] ?? Number.NaN));
  const relative = norm(difference) / norm(whole.adapter);
  const isSame = losses <= most && relative <= most && whole.losses.length === parts.losses.length;
  if (!isSame) problems++;
  console.log(
    `${isSame ? "ok" : "DIFFERENT"} ${name}: losses ${losses.toExponential(1)}, adapter ${relative.toExponential(1)}`,
  );
}

/** Several ranks come to what one comes to. */
async function same(): Promise<void> {
  for (const task of TASKS) {
    const data = writeRows(work, task);
    const run = (size: number, batch: number, accumulation: number) =>
      train(`${task}-${size}-${accumulation}`, { size }, data, [
        ...[
          "--task",
          task,
          "--max-steps",
          "9",
          "--save-steps",
          "0",
          "--per-device-train-batch-size",
          String(batch),
        ],
        ...["--gradient-accumulation-steps", String(accumulation), "--learning-rate", "2e-4"],
      ]);
    compare(`${task}, 2 ranks × 2 rows`, await run(2, 2, 1), await run(1, 4, 1), 1e-5);
    compare(`${task}, 4 ranks × 1 row × 2`, await run(4, 1, 2), await run(1, 4, 2), 1e-5);
  }
}

/** A rank that is killed at any moment: all begin again, and come to the same bytes. */
async function kills(): Promise<void> {
  const data = writeRows(work, "causal-lm");
  const more = ["--max-steps", "30", "--save-steps", "4", "--resume", "auto", "--lora-dropout", "0.1"];
  const whole = await train("whole", { size: 2 }, data, more);
  const random = createRandom(1);
  for (let i = 0; i < Number(values.kills); i++) {
    let killed = "";
    const during = async (parent: number, text: () => string) => {
      while (!/Iter 1:/.test(text())) await sleep(20);
      await sleep(random.uniform() * 2000);
      const ranks = processesBelow(parent, values.cli);
      const pid = ranks[random.integer(ranks.length)];
      if (pid === undefined) return;
      process.kill(pid, "SIGKILL");
      killed =
        text()
          .match(/Iter \d+/g)
          ?.at(-1) ?? "";
    };
    const outcome = await train(`kill-${i}`, { size: 2, restarts: 3, during }, data, more);
    compare(`killed after ${killed || "the end"}`, outcome, whole, 0);
  }
}

/** What the exchange of adapters of 1, 18 and 84 MB costs, between two processes of this machine. */
async function wire(): Promise<void> {
  const { text } = await torchrun({ size: 2, words: [process.argv[1] as string, "--child"] });
  console.log(
    text
      .split("\n")
      .filter((line) => /MB/.test(line))
      .join("\n"),
  );
}

async function timeWire(): Promise<void> {
  const share = shareOf(process.env);
  if (!share) throw new Error("this part is started by torchrun");
  const peers = await openTorchPeers(share, 60);
  for (const type of WIRE_TYPES) {
    for (const megabytes of [1, 18, 84]) {
      const times: number[] = [];
      for (let i = 0; i < 7; i++) {
        await peers.gather(""); // all begin together
        const started = performance.now();
        await peers.sum(new Float32Array(megabytes * 250_000).fill(1e-3), type);
        times.push(performance.now() - started);
      }
      const median = times.sort((a, b) => a - b)[3] as number;
      if (share.rank === 0) console.log(`${type} ${megabytes} MB: ${median.toFixed(1)} ms`);
    }
  }
  await peers.close();
}

const PARTS = { same, kills, wire };

if (values.child) await timeWire();
else {
  try {
    const names = (positionals.length > 0 ? positionals : Object.keys(PARTS)) as (keyof typeof PARTS)[];
    for (const name of names) await PARTS[name]();
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  console.log(`${problems} problems`);
  process.exitCode = problems > 0 ? 1 : 0;
}
