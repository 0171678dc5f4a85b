// node build.mjs --run scripts/generation.ts [--turns N] [--tokens N] [--rounds N]: how long a chat's turns wait for their first
// token, with what was read kept and read anew, and tokens a second of several texts at a time, taking turns. The model is that
// of scripts/small-step.ts, with the bundled model's tokenizer.
import { parseArgs } from "node:util";
import {
  Conversation,
  type GenerationReport,
  generate,
  generateBatch,
  loadModel,
  type Model,
  openDevice,
} from "../src/index.node.ts";
import { CHAT_TEMPLATE } from "./demo/chats.ts";
import { createSmallModel } from "./small-step.ts";

const number = (value: string) => ({ type: "string", default: value }) as const;
const { values } = parseArgs({ options: { turns: number("10"), tokens: number("64"), rounds: number("5") } });
const [turns, maxNewTokens, rounds] = [values.turns, values.tokens, values.rounds].map(Number) as [
  number,
  number,
  number,
];

const device = await openDevice();
const demo = await loadModel("models/demo", { device });
const model: Model = {
  ...demo,
  ...createSmallModel(device, 4096).model,
  chatTemplates: new Map([["default", { source: CHAT_TEMPLATE, place: "scripts/demo/chats.ts" }]]),
};
const median = (numbers: readonly number[]) =>
  numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;
console.log(`device: ${device.info.name}${device.info.software ? " (software, no GPU)" : ""}`);

const SENTENCE =
  "Anna put three red lamps on the stairs in the cellar, and nobody knew who had asked for them. ";
const options = { maxNewTokens, eosTokenIds: [] };

async function reported(answer: (onEnd: (report: GenerationReport) => void) => AsyncGenerator<string>) {
  let report: GenerationReport | undefined;
  for await (const _ of answer((end) => (report = end)));
  return report as GenerationReport;
}

/** Milliseconds until the first token of each turn, and how many tokens its prompt has. */
async function chat(isKept: boolean): Promise<{ tokens: number; wait: number }[]> {
  const conversation = new Conversation(model, options);
  const waits: { tokens: number; wait: number }[] = [];
  for (let turn = 0; turn < turns; turn++) {
    if (!isKept) conversation.release();
    const report = await reported((onEnd) => conversation.ask(SENTENCE.repeat(4), { onEnd }));
    waits.push({ tokens: report.promptTokens, wait: report.promptMilliseconds });
  }
  conversation.release();
  return waits;
}

const kept: number[][] = [];
const anew: number[][] = [];
let lengths: number[] = [];
for (let round = -1; round < rounds; round++) {
  const [first, second] = [await chat(true), await chat(false)];
  lengths = first.map(({ tokens }) => tokens);
  if (round < 0) continue; // compiles
  kept.push(first.map(({ wait }) => wait));
  anew.push(second.map(({ wait }) => wait));
}
console.log("turn  prompt tokens  first token, ms: kept  anew");
for (const [turn, tokens] of lengths.entries()) {
  const [a, b] = [kept, anew].map((waits) => median(waits.map((wait) => wait[turn] as number)));
  console.log(
    `${String(turn + 1).padStart(4)}  ${String(tokens).padStart(13)}  ${a?.toFixed(0).padStart(21)}  ${b?.toFixed(0).padStart(4)}`,
  );
}

const prompts = Array.from({ length: 16 }, (_, i) => SENTENCE.slice(0, 20 + 4 * i));

/** New tokens a second, the prompts' time included. */
async function throughput(batchSize: number): Promise<number> {
  const started = performance.now();
  let tokens = 0;
  if (batchSize === 0) {
    for (const prompt of prompts)
      tokens += (await reported((onEnd) => generate(model, prompt, { ...options, onEnd }))).newTokens;
  } else {
    for await (const { report } of generateBatch(model, prompts, { ...options, batchSize }))
      tokens += report?.newTokens ?? 0;
  }
  return tokens / ((performance.now() - started) / 1000);
}

const sizes = [0, 1, 2, 4, 8, 16];
const rates = new Map(sizes.map((size): [number, number[]] => [size, []]));
for (let round = -1; round < rounds; round++) {
  for (const size of sizes) {
    const rate = await throughput(size);
    if (round >= 0) rates.get(size)?.push(rate);
  }
}
for (const [size, found] of rates) {
  console.log(
    `${size === 0 ? "one by one" : `batch ${size}`.padEnd(10)}  ${median(found).toFixed(0)} tokens/s`,
  );
}
device.close();
