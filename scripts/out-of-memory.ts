// A run whose device has less memory than a step needs: lavapipe behind a driver that refuses what goes beyond a limit, as a small card
// does. Twice refused, the run has to compute its micro-batches in parts, and to come to the weights of a run with memory enough; without
// leave for that it has to end, with advice.
//   node build.mjs --run scripts/out-of-memory.ts     (Linux, with lavapipe and a C compiler)
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Adapter, attach } from "../src/adapters/adapter.ts";
import { lora } from "../src/adapters/lora/lora.ts";
import type { Device } from "../src/gpu/device.ts";
import { openModel } from "../src/load/model.ts";
import { folderFiles } from "../src/platform/node-files.ts";
import { openNodeDevice } from "../src/platform/node-gpu.ts";
import type { BeginTraining } from "../src/train/losses.ts";
import { Run } from "../src/train/run.ts";
import { trainSequences } from "../src/train/trainer.ts";
import { messageOf } from "../src/util/fail.ts";
import { buildLosingDriver } from "./lost-device/driver.ts";

/** Rows of two steps: short ones, for which there is memory, and long ones. */
const [SHORT, LONG, ROWS] = [8, 192, 16];
/** The memory that there is, as a share of what the whole run needs. */
const SHARE = 0.7;

const sequences = [SHORT, LONG].flatMap((length) =>
  Array.from({ length: ROWS }, (_, row) => {
    const inputIds = Array.from({ length }, (_, at) => 3 + ((row + 5 * at) % 500));
    return { inputIds, labels: inputIds };
  }),
);

interface Ended {
  readonly weights: readonly number[];
  readonly told: readonly string[];
  /** Most memory in use, bytes. */
  readonly peak: number;
}

async function train(mostParts: number): Promise<Ended> {
  const told: string[] = [];
  let live: { device: Device; adapter: Adapter } | undefined;
  let peak = 0;
  const open = async (): Promise<BeginTraining> => {
    live?.device.close();
    const device = await openNodeDevice();
    const model = await openModel(folderFiles("models/demo"), device);
    const adapter = attach(model, lora({ r: 4, targetModules: model.defaultTargets }), { seed: 1 });
    live = { device, adapter };
    const options = { maxSteps: 2, batchSize: ROWS, shuffle: false, learningRate: 1e-3, seed: 1 };
    return (given) => trainSequences(model, adapter.parameters, sequences, { ...options, ...given });
  };
  const run = new Run(await open(), {
    mostParts,
    onStep({ step, loss, peakBytes }) {
      told.push(`step ${step}: loss ${loss.toFixed(4)}`);
      peak = peakBytes;
    },
    recover({ error, step, batchSplit }) {
      const [what] = error.message.split("\n");
      told.push(`${error.kind} (${what}): goes on behind step ${step}, in parts: ${batchSplit}`);
      return open();
    },
  });
  await run.start().catch((error) => told.push(`ended: ${messageOf(error)}`));
  const weights = (await live?.adapter.parameters.flat.read()) ?? [];
  return { weights: [...weights], told, peak };
}

/** In a process of its own, whose device has so many bytes. */
function apart(environment: Record<string, string>, mostParts: number, limit?: number): Ended {
  const env = { ...process.env, ...environment, ...(limit && { MEMORY_LIMIT: `${Math.round(limit)}` }) };
  const words = [process.argv[1] as string, `${mostParts}`];
  const { stdout, status } = spawnSync(process.execPath, words, { encoding: "utf8", env });
  if (status !== 0) throw new Error(`a run ended with ${status}: ${stdout}`);
  return JSON.parse(stdout.slice(stdout.lastIndexOf("\n{"))) as Ended;
}

function compare(): void {
  const folder = mkdtempSync(join(tmpdir(), "webgpu-lora-memory-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const built = buildLosingDriver(folder);
  if (!built) throw new Error("lavapipe and a C compiler are needed");
  const whole = apart(built.environment, 1);
  const limit = SHARE * whole.peak;
  console.log(`${(whole.peak / 1e6).toFixed(0)} MB are needed, ${(limit / 1e6).toFixed(0)} MB are there`);
  for (const mostParts of [1, 8]) {
    const { weights, told } = apart(built.environment, mostParts, limit);
    const difference = Math.max(...weights.map((x, i) => Math.abs(x - (whole.weights[i] as number))));
    console.log(`in ${mostParts} parts at most:\n  ${told.join("\n  ")}`);
    if (mostParts > 1) console.log(`  largest difference of a weight: ${difference}`);
  }
}

if (process.argv[2]) {
  const ended = await train(Number(process.argv[2]));
  console.log(`\n${JSON.stringify(ended)}`);
  process.exit(0);
}
compare();
