// node build.mjs --run scripts/packing.ts [--rounds N] [--rows N] [--batch N] [--length N] [--output FILE]: rows a second of short
// rows, padded, grouped by length and packed, taking turns. LoRA r 8 on all linears of the model of scripts/small-step.ts.
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { attach } from "../src/adapters/adapter.ts";
import { lora } from "../src/adapters/lora/lora.ts";
import type { PackingReport } from "../src/data/packing.ts";
import type { Sequence } from "../src/data/sequence.ts";
import { openNodeDevice } from "../src/platform/node-gpu.ts";
import { trainSequences } from "../src/train/trainer.ts";
import type { TrainerOptions } from "../src/train/trainer-options.ts";
import { createRandom } from "../src/util/random.ts";
import { createSmallModel, SMALL_CONFIG } from "./small-step.ts";

const number = (value: string) => ({ type: "string", default: value }) as const;
const { values } = parseArgs({
  options: {
    rounds: number("5"),
    rows: number("256"),
    batch: number("8"),
    length: number("128"),
    output: { type: "string" },
  },
});
const rounds = Number(values.rounds);
const batchSize = Number(values.batch);
const maxLength = Number(values.length);

/** Words of the 6920 sentences that SST-2 is trained on, at every twentieth of them from the shortest to the longest. */
const SST2_WORDS = [1, 5, 7, 8, 10, 11, 13, 14, 15, 17, 18, 19, 20, 22, 23, 25, 27, 29, 31, 35, 51];

/** A row as long as those are: a token a word, and one that ends it. */
function shortRow(random: ReturnType<typeof createRandom>): Sequence {
  const at = random.uniform() * (SST2_WORDS.length - 1);
  const [low = 0, high = 0] = SST2_WORDS.slice(Math.floor(at));
  const length = 1 + Math.round(low + (at % 1) * (high - low));
  const inputIds = Array.from({ length }, () => random.integer(SMALL_CONFIG.vocab_size));
  return { inputIds, labels: inputIds };
}

const random = createRandom(1);
const rows = Array.from({ length: Number(values.rows) }, () => shortRow(random));
const tokens = rows.reduce((sum, { inputIds }) => sum + inputIds.length, 0);
const longest = Math.max(...rows.map(({ inputIds }) => inputIds.length));

// As many rows in a micro-batch each way, about.
const packsInBatch = Math.max(1, Math.round((batchSize * tokens) / rows.length / maxLength));
const WAYS: Readonly<Record<string, TrainerOptions>> = {
  padded: { batchSize },
  grouped: { batchSize, groupByLength: true },
  packed: { batchSize: packsInBatch, packing: true, maxLength },
};

const device = await openNodeDevice();
const { model } = createSmallModel(device, Math.max(maxLength, longest));
let report: PackingReport | undefined;
const onPacking = (packed: PackingReport) => {
  report = packed;
};

/** Rows a second of one epoch. */
async function epoch(options: TrainerOptions): Promise<number> {
  const adapter = attach(model, lora({ r: 8, targetModules: "all-linear" }));
  let seconds = 0;
  let seen = 0;
  for await (const step of trainSequences(model, adapter.parameters, rows, { ...options, onPacking })) {
    seconds += step.seconds;
    seen += step.tokens;
  }
  adapter.release();
  if (seen !== tokens) throw new Error(`${seen} of ${tokens} tokens were trained`);
  return rows.length / seconds;
}

const speeds = new Map(Object.keys(WAYS).map((way) => [way, [] as number[]]));
for (let round = -1; round < rounds; round++) {
  for (const [way, options] of Object.entries(WAYS)) {
    const speed = await epoch(options);
    if (round >= 0) speeds.get(way)?.push(speed); // the first makes pipelines
  }
}
const median = (list: readonly number[]) => [...list].sort((a, b) => a - b)[list.length >> 1] as number;
const padded = speeds.get("padded") as number[];
const ways = [...speeds].map(([way, list]) => ({
  way,
  batchSize: WAYS[way]?.batchSize,
  rowsPerSecond: median(list),
  /** Median over the rounds of the ratio in each. */
  againstPadded: median(list.map((speed, i) => speed / (padded[i] as number))),
}));
const result = {
  device: device.info.name,
  software: device.info.software,
  ...{ rounds, rows: rows.length, tokens, longest },
  packing: report,
  ways,
};
console.log(`device: ${result.device}${result.software ? " (software, no GPU)" : ""}`);
console.log(
  `${rows.length} rows, ${tokens} tokens, the longest ${longest}; fill of the packs ${report?.fill.toFixed(3)}`,
);
for (const { way, batchSize, rowsPerSecond, againstPadded } of ways) {
  const speed = `${rowsPerSecond.toFixed(1).padStart(8)} rows/s`;
  console.log(
    `${way.padEnd(8)} batch ${String(batchSize).padStart(3)} ${speed}  ${againstPadded.toFixed(2)} x padded`,
  );
}
if (values.output) writeFileSync(values.output, `${JSON.stringify(result, null, 2)}\n`);
process.exit(0);
