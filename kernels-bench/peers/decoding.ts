// Greedy decoding side by side: the same model, a new text each turn, all engines in turns.
import { loadavg } from "node:os";
import { packageVersion } from "../../src/cli/version.ts";
import type { Device } from "../../src/gpu/device.ts";
import { loadModel } from "../../src/index.node.ts";
import type { LoadedModel } from "../../src/load/model.ts";
import type { LanguageModel } from "../../src/models/model.ts";
import { generateTokens } from "../../src/train/generate.ts";
import { LoraError } from "../../src/util/fail.ts";
import { summarize } from "../measure.ts";
import { SMOLLM2 } from "../models.ts";
import { digits, formatTable } from "../table.ts";
import type { Decoder } from "./decoder.ts";
import { peerVersion } from "./engines.ts";
import { llamaDecoder } from "./llama.ts";
import { randomCheckpoint } from "./random-checkpoint.ts";
import { torchDecoder } from "./torch-decoder.ts";

/** How one engine did. */
export interface DecodingEntry {
  readonly engine: string;
  readonly version: string;
  /** Tokens a second: of the prompt, its first new token included, and of the new ones after it; medians over the rounds. */
  readonly prompt?: number;
  readonly decoding?: number;
  /** Milliseconds of processor time, all threads together, of a new token; the least over the rounds. */
  readonly processorMs?: number;
  /** Median over the rounds of our decoding rate by this engine's. */
  readonly ratio?: number;
  /** How many of the first text's tokens are those of our text, from its beginning. */
  readonly equalTokens?: number;
  readonly failure?: string;
}

/** All engines. */
export interface DecodingContest {
  readonly model: string;
  readonly promptTokens: number;
  readonly newTokens: number;
  readonly rounds: number;
  /** Processes that ran or wanted to, a minute's average at the end: those of other work among them. */
  readonly load: number;
  readonly entries: readonly DecodingEntry[];
}

const PROMPT = Array.from({ length: 64 }, (_, i) => 1 + ((i * 7919) % 256));
const NEW_TOKENS = 32;
const CAPACITY = 256;

interface Turn {
  readonly prompt: number;
  readonly decoding: number;
  readonly processorMs: number;
  readonly tokens: readonly number[];
}

/** @param python an interpreter with torch and transformers, where PyTorch takes part */
export async function contestDecoding(
  device: Device,
  rounds: number,
  python: string | undefined,
): Promise<DecodingContest> {
  const files = randomCheckpoint(SMOLLM2, CAPACITY);
  const model = await loadModel(files, { device });
  const failures: DecodingEntry[] = [];
  const decoders: Decoder[] = [ownDecoder(model)];
  const opened: [string, () => Promise<Decoder>][] = [
    ...(["vulkan", "cpu"] as const).map((backend): [string, () => Promise<Decoder>] => [
      `llama.cpp ${backend}`,
      () => llamaDecoder(model, files, CAPACITY, peerVersion("node-llama-cpp"), backend),
    ]),
    ...(python === undefined
      ? []
      : (["f32", "bf16"] as const).map((dtype): [string, () => Promise<Decoder>] => [
          `PyTorch ${dtype}`,
          () => torchDecoder(python, dtype),
        ])),
  ];
  for (const [engine, open] of opened) {
    try {
      decoders.push(await open());
    } catch (error) {
      const failure = error instanceof LoraError ? error.message : String(error);
      failures.push({ engine, version: "", failure });
    }
  }
  const turns = decoders.map((): Turn[] => []);
  for (let round = -1; round < rounds; round++) {
    for (const [i, decoder] of decoders.entries()) {
      const turn = await write(decoder);
      if (round >= 0) turns[i]?.push(turn); // the first text compiles
    }
  }
  const entries = decoders.map((decoder, i) => entryOf(decoder, turns[i] as Turn[], turns[0] as Turn[]));
  for (const decoder of decoders) await decoder.release();
  model.release();
  return {
    ...{ model: SMOLLM2.name, promptTokens: PROMPT.length, newTokens: NEW_TOKENS, rounds },
    load: loadavg()[0] ?? 0,
    entries: [...entries, ...failures],
  };
}

/** The table. */
export function formatDecoding({ entries, model, promptTokens, newTokens, load }: DecodingContest): string[] {
  const head = ["  engine", "prompt tokens/s", "tokens/s", "processor ms a token", "ours ×", "equal tokens"];
  const timed = entries.filter(({ failure }) => failure === undefined);
  const rows = timed.map(
    ({ engine, version, prompt = 0, decoding = 0, processorMs = 0, ratio = 0, equalTokens }) => [
      `  ${engine} ${version}`,
      digits(prompt),
      digits(decoding),
      digits(processorMs),
      ratio.toFixed(2),
      equalTokens === undefined ? "" : `${equalTokens} of ${newTokens}`,
    ],
  );
  return [
    `greedy decoding, ${model}'s shape, ${promptTokens} tokens and ${newTokens} more; load ${load.toFixed(1)}`,
    ...formatTable([head, ...rows], ["left", ...head.slice(1).map(() => "right" as const)]),
    ...entries.flatMap(({ engine, failure }) => (failure ? [`  ${engine} was not timed: ${failure}`] : [])),
  ];
}

function ownDecoder(model: LoadedModel): Decoder {
  return {
    name: "webgpu-lora bf16",
    version: packageVersion(),
    write: (prompt) => generateTokens(model as LanguageModel, prompt, { maxNewTokens: NEW_TOKENS + 1 }),
    release() {},
  };
}

async function write(decoder: Decoder): Promise<Turn> {
  const tokens: number[] = [];
  const started = performance.now();
  let first = started;
  let processorAt = 0;
  const processor = () => decoder.processorMs?.() ?? ownProcessorMs();
  for await (const token of decoder.write(PROMPT)) {
    if (tokens.length === 0) [first, processorAt] = [performance.now(), processor()];
    tokens.push(token);
    if (tokens.length > NEW_TOKENS) break;
  }
  return {
    prompt: (1000 * PROMPT.length) / (first - started),
    decoding: (1000 * (tokens.length - 1)) / (performance.now() - first),
    processorMs: (processor() - processorAt) / (tokens.length - 1),
    tokens: tokens.slice(0, NEW_TOKENS),
  };
}

/** Of all threads of this process. */
function ownProcessorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function entryOf(
  { name, version, isOther }: Decoder,
  turns: readonly Turn[],
  ours: readonly Turn[],
): DecodingEntry {
  const median = (values: number[]) => summarize(values).median;
  const [mine = [], own = []] = [turns[0]?.tokens, ours[0]?.tokens];
  const differs = mine.findIndex((token, i) => token !== own[i]);
  return {
    engine: name,
    version,
    prompt: median(turns.map(({ prompt }) => prompt)),
    decoding: median(turns.map(({ decoding }) => decoding)),
    processorMs: Math.min(...turns.map(({ processorMs }) => processorMs)),
    ratio: median(turns.map(({ decoding }, round) => (ours[round] as Turn).decoding / decoding)),
    ...(!isOther && { equalTokens: differs < 0 ? mine.length : differs }),
  };
}
