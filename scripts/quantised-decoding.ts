// How fast models with weights of few bits decode beside bf16's: node build.mjs --run scripts/quantised-decoding.ts [--rounds N]
// [--formats int4,nf4] [--model Qwen2.5-0.5B --alone]
// Random models of one shape take turns, three at a time: textures have room for no more; medians over the rounds. Of larger shapes
// they have room for one: --alone measures one after the other, which tells less where the load changes. A software device computes in
// this process, whose processor time is compared: see quantised-products.ts.

import { parseArgs } from "node:util";
import { prepareDecoding } from "../kernels-bench/decoding.bench.ts";
import type { Prepared } from "../kernels-bench/harness.ts";
import { summarize } from "../kernels-bench/measure.ts";
import { MODELS, type ModelSize, SMOLLM2 } from "../kernels-bench/models.ts";
import type { RandomQuantization } from "../kernels-bench/random-model.ts";
import { formatTable } from "../kernels-bench/table.ts";
import { scoped } from "../src/gpu/tensor.ts";
import type { QuantizationFormat } from "../src/load/quantization.ts";
import { openNodeDevice } from "../src/platform/node-gpu.ts";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "11" },
    formats: { type: "string", default: "int8,int4,mxfp4,nf4,fp4" },
    model: { type: "string", default: SMOLLM2.name },
    alone: { type: "boolean", default: false },
  },
});
const device = await openNodeDevice();

/** Tokens of a turn. */
const TURN = 8;

interface Entry {
  readonly name: string;
  readonly quantization?: RandomQuantization;
}

const BF16: Entry = { name: "bf16" };

/** A model whose linear layers have a format, and one whose embedding and output layer have it, too. */
function entriesOf(format: QuantizationFormat): Entry[] {
  return [
    { name: format, quantization: { format } },
    { name: `${format}, output layer too`, quantization: { format, skipModules: [] } },
  ];
}

/** Of a token. */
interface Time {
  processor: number;
  clock: number;
}

/** Milliseconds of a token. */
async function turn({ run }: Prepared): Promise<Time> {
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

/** Times of such models, round after round. */
async function duel(size: ModelSize, entries: readonly Entry[], rounds: number): Promise<Time[][]> {
  const scope = device.memory.beginScope();
  const models = entries.map(({ quantization }) => prepareDecoding(device, size, 1, quantization));
  for (const model of models) await turn(model); // compiles, and copies the weights
  const times = models.map<Time[]>(() => []);
  for (let round = 0; round < rounds; round++)
    for (const [i, model] of models.entries()) times[i]?.push(await turn(model));
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

const size = MODELS.find(({ name }) => name === options.model);
if (!size)
  throw new Error(`--model is ${options.model}: take ${MODELS.map(({ name }) => name).join(" or ")}`);
const rounds = Number(options.rounds);
console.log(`${device.info.name}: a token of ${size.name}, medians of ${rounds} rounds`);
const formats = options.formats.split(",") as QuantizationFormat[];
const groups = options.alone
  ? [BF16, ...formats.flatMap(entriesOf)].map((entry) => [entry])
  : formats.map((format) => [BF16, ...entriesOf(format)]);
const rows = [["", "processor ms", "bf16's by it", "ms", "bf16's by it"]];
let bf16: Time[] = [];
for (const group of groups) {
  const times = await duel(size, group, rounds);
  for (const [i, entry] of group.entries()) {
    const own = times[i] as Time[];
    if (entry === BF16) bf16 = own;
    rows.push([entry.name, ...columnsOf(own, bf16)]);
  }
}
for (const line of formatTable(rows, ["left", "right", "right", "right", "right"])) console.log(line);
process.exit(0); // Dawn keeps Node alive
