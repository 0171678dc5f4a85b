// How fast models with weights of few bits decode beside bf16's: node build.mjs --run scripts/quantised-decoding.ts [--rounds N]
// [--formats int4,nf4]
// Random models of SmolLM2-135M's shape take turns; medians over the rounds. A software device computes in this process, whose
// processor time is compared: see quantised-products.ts. Not more than three models at a time: textures have room for no more.

import { parseArgs } from "node:util";
import { prepareDecoding } from "../kernels-bench/decoding.bench.ts";
import type { Prepared } from "../kernels-bench/harness.ts";
import { summarize } from "../kernels-bench/measure.ts";
import { SMOLLM2 } from "../kernels-bench/models.ts";
import { formatTable } from "../kernels-bench/table.ts";
import type { Device } from "../src/gpu/device.ts";
import { scoped } from "../src/gpu/tensor.ts";
import type { QuantizationFormat } from "../src/load/quantization.ts";
import { openNodeDevice } from "../src/platform/node-gpu.ts";

/** Tokens of a turn. */
const TURN = 8;

/** Of a token. */
interface Time {
  processor: number;
  clock: number;
}

/** Milliseconds of a token. */
async function turn(device: Device, { run }: Prepared): Promise<Time> {
  const before = process.cpuUsage();
  const start = performance.now();
  for (let i = 0; i < TURN; i++) {
    scoped(device, () => {
      run();
      return undefined;
    });
  }
  await device.sync();
  const { user, system } = process.cpuUsage(before);
  return { processor: (user + system) / 1000 / TURN, clock: (performance.now() - start) / TURN };
}

/** Times of bf16, of a format, and of one with the output layer in that format, round after round. */
async function duel(device: Device, format: QuantizationFormat, rounds: number): Promise<Time[][]> {
  const scope = device.memory.beginScope();
  const models = [undefined, { format }, { format, skipModules: [] }].map((quantization) =>
    prepareDecoding(device, SMOLLM2, 1, quantization),
  );
  for (const model of models) await turn(device, model); // compiles, and copies the weights
  const times = models.map<Time[]>(() => []);
  for (let round = 0; round < rounds; round++)
    for (const [i, model] of models.entries()) times[i]?.push(await turn(device, model));
  for (const { release } of models) release?.();
  device.memory.endScope(scope);
  device.memory.trim();
  return times;
}

const median = (values: number[]) => summarize(values).median;

/** Processor time, its ratio to bf16's, and the same by the clock. */
function columnsOf(times: readonly Time[], bf16: readonly Time[]): string[] {
  return (["processor", "clock"] as const).flatMap((by) => [
    median(times.map((time) => time[by])).toFixed(1),
    median(times.map((time, round) => (bf16[round] as Time)[by] / time[by])).toFixed(2),
  ]);
}

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "11" },
    formats: { type: "string", default: "int8,int4,mxfp4,nf4,fp4" },
  },
});
const device = await openNodeDevice();
console.log(`${device.info.name}: a token of ${SMOLLM2.name}, medians of ${options.rounds} rounds`);
const rows = [["", "processor ms", "bf16's by it", "ms", "bf16's by it"]];
for (const format of options.formats.split(",") as QuantizationFormat[]) {
  const [bf16, own, all] = (await duel(device, format, Number(options.rounds))) as [Time[], Time[], Time[]];
  rows.push([`bf16 beside ${format}`, ...columnsOf(bf16, bf16)]);
  rows.push([format, ...columnsOf(own, bf16)], [`${format}, output layer too`, ...columnsOf(all, bf16)]);
}
for (const line of formatTable(rows, ["left", "right", "right", "right", "right"])) console.log(line);
process.exit(0); // Dawn keeps Node alive
