// Has llama.cpp itself open our GGUF files, models and adapters, and compares what it continues with what we do:
//   node build.mjs --run scripts/llama-cpp/main.ts [case …]
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Adapter, attach } from "../../src/adapters/adapter.ts";
import { type Lora, lora } from "../../src/adapters/lora/lora.ts";
import { fromArray } from "../../src/gpu/tensor.ts";
import { type FileSource, memoryFiles } from "../../src/io/files/files.ts";
import { ggufLora } from "../../src/io/formats/gguf/lora.ts";
import { adapterFiles } from "../../src/load/adapter.ts";
import { requireGgufArchitecture } from "../../src/load/gguf-metadata.ts";
import { GGUF_TYPES, type GgufType, ggufModel } from "../../src/load/gguf-model.ts";
import { readPeftAdapter } from "../../src/load/lora-files.ts";
import { type Model, openModel } from "../../src/load/model.ts";
import type { DecoderConfig } from "../../src/models/decoder.ts";
import { placeTokens, wholeRows } from "../../src/nn/geometry.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { folderWriter } from "../../src/platform/node-folders/folder-writer.ts";
import { openNodeDevice } from "../../src/platform/node-gpu.ts";
import { generateTokens } from "../../src/train/generate.ts";
import { fail } from "../../src/util/fail.ts";
import { CASES } from "./cases.ts";
import { askLlama, installLlama, type Job } from "./llama.ts";
import { randomCheckpoint, stir } from "./random-checkpoint.ts";

const COUNT = 100;
const TEXTS = [
  "the sand and the ring",
  " Then in\n\nanother land: 42 things, it's 3.50!  ",
  "tea\tand  naïve ünïcode 🙂 日本",
];
/** llama.cpp rounds what it multiplies with F16 and BF16 to that, too. */
const LIMITS: Readonly<Record<GgufType, number>> = { f32: 0, f16: 0.02, bf16: 0.1, q8_0: 0.5 };
const wanted = process.argv.slice(2);
const device = await openNodeDevice();
const folder = mkdtempSync(join(tmpdir(), "webgpu-lora-llama-"));
installLlama();
let failures = 0;
try {
  for (const each of CASES) if (isWanted(each.name)) await check(each.name, randomCheckpoint(device, each));
  const stories = "../shared/data/models/stories260K";
  const there = isWanted("stories260K") && (await folderFiles(stories).size("config.json")) !== undefined;
  if (there) await check("stories260K", folderFiles(stories));
} finally {
  rmSync(folder, { recursive: true });
}
console.log(failures === 0 ? "All agree." : `${failures} differ.`);
process.exit(failures === 0 ? 0 : 1);

function isWanted(name: string): boolean {
  return wanted.length === 0 || wanted.some((word) => name.startsWith(word));
}

/** Compares one model with an adapter on it: merged in each number format, and the adapter on the GGUF base. */
async function check(name: string, files: FileSource): Promise<void> {
  const model = await openModel(files, device, { onWarning: (line) => console.log(`  ${line}`) });
  const contexts = TEXTS.map((text) => model.tokenizer?.encode(text) ?? []);
  const plain = await continueAll(model, contexts);
  const none = attach(model, lora({ r: 1, targetModules: "all-linear" })); // B is zero
  const base = await writeModel(model, none, files, "f32", "base.gguf");
  none.release();
  const adapter = attach(model, lora({ r: 4, alpha: 8, targetModules: "all-linear" }), { seed: 3 });
  stir(adapter);
  const ours = await continueAll(model, contexts);
  if (String(plain) === String(ours)) fail(name, "the adapter changes nothing, which proves nothing");
  const compare = async (what: string, job: Pick<Job, "model" | "lora">, limit: number) => {
    const { tokens, continued } = askLlama({ ...job, contexts, texts: TEXTS, count: COUNT });
    compareTokens(what, model, tokens);
    await compareIds(`${name} ${what}`, { model, contexts, ours, theirs: continued, limit });
  };
  for (const type of GGUF_TYPES) {
    const path = await writeModel(model, adapter, files, type, "model.gguf");
    await compare(`merged ${type}`, { model: path }, LIMITS[type]);
  }
  await compare("adapter on its base", { model: base, lora: await writeAdapter(model, adapter) }, 0);
  adapter.release();
  model.release();
}

async function continueAll(model: Model, contexts: readonly (readonly number[])[]): Promise<number[][]> {
  const all: number[][] = [];
  for (const ids of contexts) {
    const found: number[] = [];
    for await (const id of generateTokens(model, ids, { maxNewTokens: COUNT, temperature: 0 }))
      found.push(id);
    all.push(found);
  }
  return all;
}

async function writeModel(
  model: Model,
  adapter: Adapter,
  files: FileSource,
  type: GgufType,
  name: string,
): Promise<string> {
  const { content, warnings } = await ggufModel(model, adapter, files, { type });
  if (type === "f32") for (const warning of warnings) console.log(`  ${warning}`);
  await folderWriter(folder).write(new Map([[name, content]]));
  return join(folder, name);
}

async function writeAdapter(model: Model, adapter: Adapter<Lora>): Promise<string> {
  const files = await adapterFiles(adapter);
  const bytes = [...files].map(([name, content]): [string, Uint8Array] => [
    name,
    typeof content === "string" ? new TextEncoder().encode(content) : (content as Uint8Array),
  ]);
  const read = await readPeftAdapter(memoryFiles("adapter", new Map(bytes)));
  const { numHeads, numKvHeads } = model.config as unknown as DecoderConfig;
  const architecture = requireGgufArchitecture(model.modelType, model.name);
  const content = ggufLora(read, { architecture, numHeads, numKvHeads }, { name: "adapter" });
  await folderWriter(folder).write(new Map([["adapter.gguf", content]]));
  return join(folder, "adapter.gguf");
}

function compareTokens(name: string, { tokenizer }: Model, theirs: readonly (readonly number[])[]): void {
  TEXTS.forEach((text, i) => {
    const own = tokenizer?.encode(text, { addSpecialTokens: false }) ?? [];
    if (String(own) === String(theirs[i])) return;
    failures++;
    console.log(`FAIL ${name}: ${JSON.stringify(text)}\n  ours   ${own}\n  theirs ${theirs[i]}`);
  });
}

/** What two programs continue the same prompts with. */
interface Comparison {
  readonly model: Model;
  readonly contexts: readonly (readonly number[])[];
  readonly ours: readonly (readonly number[])[];
  readonly theirs: readonly (readonly number[])[];
  /** How far apart the scores of two tokens may be that were chosen differently, in standard deviations of all scores. */
  readonly limit: number;
}

async function compareIds(what: string, { model, contexts, ours, theirs, limit }: Comparison): Promise<void> {
  const found = await Promise.all(
    ours.map(async (ids, i) => {
      const at = ids.findIndex((id, k) => id !== theirs[i]?.[k]);
      if (at < 0) return { same: ids.length, gap: 0 };
      const before = [...(contexts[i] ?? []), ...ids.slice(0, at)];
      return { same: at, gap: await gapBetween(model, before, ids[at] ?? 0, theirs[i]?.[at] ?? 0) };
    }),
  );
  const gaps = found.map(({ gap }) => gap);
  const verdict = gaps.every((gap) => gap === 0)
    ? "same"
    : gaps.every((gap) => gap <= limit)
      ? "near"
      : "FAIL";
  if (verdict === "FAIL") failures++;
  const lengths = found.map(({ same }, i) => `${same}/${ours[i]?.length}`).join(", ");
  const apart =
    verdict === "same" ? "" : `; scores there ${gaps.map((gap) => gap.toFixed(4)).join(", ")} σ apart`;
  console.log(`${verdict} ${what}: ${lengths} tokens${apart}`);
}

/** How much lower our score of another token is than that of the one we chose, by the spread of all. */
async function gapBetween(model: Model, ids: readonly number[], own: number, other: number): Promise<number> {
  const input = fromArray(model.device, Uint32Array.from(ids), [1, ids.length]);
  const geometry = placeTokens(model.device, wholeRows(1, ids.length));
  const scores = await model.logits(model.hidden(input, { training: false, seed: 0, geometry })).read();
  const last = scores.subarray(-model.config.vocabSize);
  const mean = last.reduce((sum, score) => sum + score, 0) / last.length;
  const spread = Math.sqrt(last.reduce((sum, score) => sum + (score - mean) ** 2, 0) / last.length);
  return ((last[own] ?? 0) - (last[other] ?? 0)) / spread;
}
