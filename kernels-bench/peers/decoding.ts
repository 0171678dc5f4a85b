// Greedy decoding side by side: the same model, a new text each turn, all engines in turns.
import { mkdtemp, rm } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { packageVersion } from "../../src/cli/version.ts";
import type { Device } from "../../src/gpu/device.ts";
import { loadModel } from "../../src/index.node.ts";
import type { LoadedModel } from "../../src/load/model.ts";
import type { LanguageModel } from "../../src/models/model.ts";
import { generateTokens } from "../../src/train/generate.ts";
import { summarize } from "../measure.ts";
import { SMOLLM2 } from "../models.ts";
import { digits, formatTable } from "../table.ts";
import type { Decoder } from "./decoder.ts";
import { answerWithLlama, type LlamaBackend, writeGguf } from "./llama.ts";
import { type Program, processDecoder } from "./process-decoder.ts";
import { randomCheckpoint } from "./random-checkpoint.ts";

/** How one engine did. */
export interface DecodingEntry {
  readonly engine: string;
  readonly version: string;
  /** Tokens a second: of the prompt, its first new token included, and of the new ones after it; medians over the rounds. */
  readonly prompt?: number;
  readonly decoding?: number;
  /** The most new tokens a second of a round: engines whose threads wait in loops are much slower beside other programs. */
  readonly best?: number;
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

const OURS = "webgpu-lora bf16";
const PROMPT = Array.from({ length: 64 }, (_, i) => 1 + ((i * 7919) % 256));
const NEW_TOKENS = 32;
const CAPACITY = 256;

interface Turn {
  readonly prompt: number;
  readonly decoding: number;
  readonly processorMs: number;
  readonly tokens: readonly number[];
}

/** An engine, and what became of it. */
interface Contestant {
  readonly engine: string;
  readonly decoder?: Decoder;
  readonly turns: Turn[];
  failure?: string;
}

export interface DecodingOptions {
  readonly rounds: number;
  /** An interpreter with torch and transformers, where PyTorch takes part. */
  readonly python?: string | undefined;
  /** Seconds after which an engine without an answer is left out. */
  readonly limit: number;
  /** Is told what goes on. */
  readonly note: (line: string) => void;
}

/** Each engine but ours in a process of its own. */
export async function contestDecoding(device: Device, options: DecodingOptions): Promise<DecodingContest> {
  const { rounds, note } = options;
  const files = randomCheckpoint(SMOLLM2, CAPACITY);
  const model = await loadModel(files, { device });
  const contestants: Contestant[] = [{ engine: OURS, decoder: ownDecoder(model), turns: [] }];
  const folder = await mkdtemp(join(tmpdir(), "webgpu-lora-llama-"));
  try {
    const path = join(folder, "model.gguf");
    await writeGguf(model, files, path);
    for (const program of programs(path, options.python)) contestants.push(await opened(program, options));
    for (let round = 0; round <= rounds; round++) {
      for (const contestant of contestants) await turn(contestant, round, note);
    }
    for (const { decoder, failure } of contestants) if (failure === undefined) await decoder?.release();
  } finally {
    await rm(folder, { recursive: true });
  }
  model.release();
  const [own] = contestants as [Contestant];
  return {
    ...{ model: SMOLLM2.name, promptTokens: PROMPT.length, newTokens: NEW_TOKENS, rounds },
    load: loadavg()[0] ?? 0,
    entries: contestants.map((contestant) => entryOf(contestant, own.turns)),
  };
}

function programs(gguf: string, python: string | undefined): Program[] {
  const script = process.argv[1] as string;
  const llama = (backend: LlamaBackend, name: string): Program => ({
    name: `llama.cpp ${name} f16`,
    command: process.execPath,
    args: [script, "--llama", backend, gguf],
  });
  const torch = (command: string, dtype: "f32" | "bf16"): Program => ({
    name: `PyTorch ${dtype}`,
    ...{ command, args: ["kernels-bench/torch/decode.py", dtype], isOther: true },
  });
  const own = python === undefined ? [] : [torch(python, "f32"), torch(python, "bf16")];
  return [llama("vulkan", "Vulkan"), llama("cpu", "CPU"), ...own];
}

/** The child's part of llama.cpp. */
export const answerAsLlama = (backend: LlamaBackend, gguf: string): Promise<void> =>
  answerWithLlama(backend, gguf, CAPACITY);

async function opened(program: Program, { limit, note }: DecodingOptions): Promise<Contestant> {
  const engine = program.name;
  note(`${engine} opens`);
  try {
    return { engine, decoder: await processDecoder(program, 1000 * limit), turns: [] };
  } catch (error) {
    return { engine, turns: [], failure: reason(error) };
  }
}

/** @param round the first text compiles, and is not counted */
async function turn(contestant: Contestant, round: number, note: (line: string) => void): Promise<void> {
  const { engine, decoder, failure, turns } = contestant;
  if (failure !== undefined || !decoder) return;
  try {
    const written = await write(decoder);
    if (round > 0) turns.push(written);
    note(`round ${round}: ${engine}, ${digits(written.decoding)} tokens/s`);
  } catch (error) {
    contestant.failure = reason(error);
    note(`round ${round}: ${engine} is left out: ${contestant.failure}`);
  }
}

const reason = (error: unknown) => (error instanceof Error ? error.message : String(error));

/** The table. */
export function formatDecoding({ entries, model, promptTokens, newTokens, load }: DecodingContest): string[] {
  const head = [
    "  engine",
    "prompt tokens/s",
    "tokens/s",
    "best",
    "processor ms a token",
    "ours ×",
    "equal tokens",
  ];
  const timed = entries.filter(({ failure }) => failure === undefined);
  const rows = timed.map(
    ({ engine, version, prompt = 0, decoding = 0, best = 0, processorMs = 0, ratio = 0, equalTokens }) => [
      `  ${engine} ${version}`,
      digits(prompt),
      digits(decoding),
      digits(best),
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
    name: OURS,
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

function entryOf({ engine, decoder, failure, turns }: Contestant, ours: readonly Turn[]): DecodingEntry {
  const version = decoder?.version ?? "";
  if (failure !== undefined) return { engine, version, failure };
  const median = (values: number[]) => summarize(values).median;
  const [mine = [], own = []] = [turns[0]?.tokens, ours[0]?.tokens];
  const differs = mine.findIndex((token, i) => token !== own[i]);
  return {
    ...{ engine, version },
    prompt: median(turns.map(({ prompt }) => prompt)),
    decoding: median(turns.map(({ decoding }) => decoding)),
    best: Math.max(...turns.map(({ decoding }) => decoding)),
    processorMs: Math.min(...turns.map(({ processorMs }) => processorMs)),
    ratio: median(turns.map(({ decoding }, round) => (ours[round] as Turn).decoding / decoding)),
    ...(!decoder?.isOther && { equalTokens: differs < 0 ? mine.length : differs }),
  };
}
