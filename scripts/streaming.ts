// How long the first step takes, and how much memory a run needs, on a file of rows that is larger than the memory it is given.
//   node build.mjs --run scripts/streaming.ts ROWS [BYTES-A-ROW [MIB-OF-HEAP [STEPS]]]
// Makes the file in the system's temporary folder, trains the bundled model on it with `train` as it is built into dist/, and removes it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createRandom } from "../src/util/random.ts";

const [rows = 1_000_000, bytes = 140, heap = 256, steps = 40] = process.argv.slice(2).map(Number);
const WORDS =
  "the a of hall Ivan counted pink candles nine red cat runs over and under table with some more".split(" ");
const random = createRandom(1);

/** Rows that are written at a time. */
const WRITTEN = 2000;

async function writeRows(path: string): Promise<void> {
  const file = createWriteStream(path);
  for (let at = 0; at < rows; at += WRITTEN) {
    const lines = Array.from({ length: Math.min(WRITTEN, rows - at) }, (_, i) => {
      let text = `row ${at + i}`;
      while (text.length < bytes - 13) text += ` ${random.pick(WORDS)}`;
      return `${JSON.stringify({ text })}\n`;
    });
    if (!file.write(lines.join(""))) await once(file, "drain");
  }
  file.end();
  await once(file, "finish");
}

/** Resident memory of a process, and the most that it has had, MiB; Linux tells. */
async function memoryOf(pid: number): Promise<{ now: number; most: number }> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  const field = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) / 1024;
  return { now: field("VmRSS"), most: field("VmHWM") };
}

const folder = await mkdtemp(join(tmpdir(), "webgpu-lora-streaming-"));
try {
  const data = join(folder, "rows.jsonl");
  await writeRows(data);
  const mebibytes = (await stat(data)).size / 2 ** 20;
  console.log(
    `${rows.toLocaleString("en-US")} rows, ${mebibytes.toFixed(0)} MiB; heap of at most ${heap} MiB`,
  );
  const started = performance.now();
  const cli = spawn(
    process.execPath,
    [
      `--max-old-space-size=${heap}`,
      resolve("dist/cli.js"),
      ...["train", "--model", resolve("models/demo"), "--data", data, "--output-dir", join(folder, "out")],
      ...[
        "--max-steps",
        String(steps),
        "--logging-steps",
        "1",
        "--save-steps",
        "0",
        "--max-length",
        "64",
        "--no-check-data",
      ],
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const closed = once(cli, "close");
  let most = 0;
  for await (const piece of cli.stdout) {
    for (const line of String(piece).split("\n")) {
      const step = Number(/^Iter (\d+): Train/.exec(line)?.[1] ?? Number.NaN);
      const isShown = step === 1 || step % Math.ceil(steps / 4) === 0;
      const { now, most: peak } = await memoryOf(cli.pid as number);
      most = Math.max(most, peak);
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      if (isShown || /read as they are needed/.test(line)) {
        console.log(`${seconds} s, ${now.toFixed(0)} MiB resident: ${line.trim().slice(0, 60)}`);
      }
    }
  }
  await closed;
  console.log(`exit code ${cli.exitCode}, at most ${most.toFixed(0)} MiB resident`);
  process.exitCode = cli.exitCode ?? 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}
