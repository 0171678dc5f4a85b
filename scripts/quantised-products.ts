// How fast products with weights of few bits are beside bf16's: node build.mjs --run scripts/quantised-products.ts [--rounds N] [--only "one token"]
// All formats take turns, round after round; the ratio is the median over the rounds. A software device computes in this
// process, whose processor time is compared: it is steadier than the clock where other programs run.

import { repeatedHalves, repeatedValues } from "../kernels-bench/harness.ts";
import { summarize } from "../kernels-bench/measure.ts";
import { formatTable } from "../kernels-bench/table.ts";
import type { Device } from "../src/gpu/device.ts";
import { fromArray, scoped } from "../src/gpu/tensor.ts";
import { matmul } from "../src/kernels/matmul.ts";
import type { Weight } from "../src/kernels/weight.ts";
import { openNodeDevice } from "../src/platform/node-gpu.ts";
import { type Kind, randomWeight } from "../test/support/weights.ts";

const KINDS: readonly (readonly [name: string, kind: Kind | undefined])[] = [
  ["bf16", undefined],
  ["int8", { format: "int8", block: 128 }],
  ["fp8_e4m3", { format: "fp8_e4m3", block: 128 }],
  ["int4", { format: "int4", block: 64, zeros: "points" }],
  ["Q4_0", { format: "int4", block: 32, scales: "f16" }],
  ["Q4_K", { format: "int4", block: 32, scales: "superblock", zeros: "offsets" }],
  ["mxfp4", { format: "mxfp4", block: 32, scales: "e8m0" }],
  ["nf4", { format: "nf4", block: 64 }],
  ["nf4 twice", { format: "nf4", block: 64, scales: "nested" }],
  ["fp4", { format: "fp4", block: 64 }],
];

interface Product {
  readonly name: string;
  readonly layout: "NT" | "NN";
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

const PRODUCTS: readonly Product[] = [
  { name: "forward, 128 tokens, 896 × 896", layout: "NT", m: 128, n: 896, k: 896 },
  { name: "forward, 256 tokens, 2432 × 896", layout: "NT", m: 256, n: 2432, k: 896 },
  { name: "gradient of the input, 128 tokens, 896 × 896", layout: "NN", m: 128, n: 896, k: 896 },
  { name: "gradient of the input, 128 tokens, 2432 × 896", layout: "NN", m: 128, n: 896, k: 2432 },
  { name: "one token, 4864 × 896", layout: "NT", m: 1, n: 4864, k: 896 },
  { name: "one token, 1536 × 576", layout: "NT", m: 1, n: 1536, k: 576 },
  { name: "one token, 576 × 1536", layout: "NT", m: 1, n: 576, k: 1536 },
  { name: "one token, 576 × 576", layout: "NT", m: 1, n: 576, k: 576 },
];

function weightOf(device: Device, shape: readonly [number, number], kind: Kind | undefined): Weight {
  if (kind) return randomWeight(device, shape, kind).weight;
  return fromArray(device, repeatedHalves(shape[0] * shape[1], 2, "bf16").codes, shape, "bf16");
}

/** Milliseconds of processor time, of one run of several. */
async function timeOf(device: Device, run: () => void, runs: number): Promise<number> {
  const before = process.cpuUsage();
  for (let i = 0; i < runs; i++) run();
  await device.sync();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000 / runs;
}

/** Milliseconds of a turn. */
const TURN = 30;

/** The ratio of bf16's time to each format's, in each round. */
async function duel(device: Device, { layout, m, n, k }: Product, rounds: number): Promise<number[][]> {
  const A = fromArray(device, repeatedValues(m * k, 1), [m, k]);
  const runs = KINDS.map(([, kind]) => {
    const B = weightOf(device, layout === "NT" ? [n, k] : [k, n], kind);
    return () => scoped(device, () => void matmul(A, B, { layout }));
  });
  const counts: number[] = [];
  for (const run of runs) {
    await timeOf(device, run, 1); // compiles
    counts.push(Math.max(1, Math.round(TURN / (await timeOf(device, run, 3)))));
  }
  const ratios = KINDS.map<number[]>(() => []);
  for (let round = 0; round < rounds; round++) {
    const times: number[] = [];
    for (const [i, run] of runs.entries()) times.push(await timeOf(device, run, counts[i] as number));
    for (const [i, time] of times.entries()) ratios[i]?.push((times[0] as number) / time);
  }
  return ratios;
}

const at = process.argv.indexOf("--rounds");
const rounds = at < 0 ? 11 : Number(process.argv[at + 1]);
const device = await openNodeDevice();
console.log(
  `${device.info.name}: bf16's processor time by that of other weights, median of ${rounds} rounds`,
);
const rows = [["", ...KINDS.map(([name]) => name)]];
const wanted = process.argv.indexOf("--only");
const products = PRODUCTS.filter(
  ({ name }) => wanted < 0 || name.includes(process.argv[wanted + 1] as string),
);
for (const product of products) {
  const scope = device.memory.beginScope();
  const ratios = await duel(device, product, rounds);
  rows.push([product.name, ...ratios.map((own) => summarize(own).median.toFixed(2))]);
  device.memory.endScope(scope);
  device.memory.trim();
}
for (const line of formatTable(rows, ["left", ...KINDS.map(() => "right" as const)])) console.log(line);
process.exit(0); // Dawn keeps Node alive
