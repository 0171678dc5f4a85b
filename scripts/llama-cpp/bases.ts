// Has llama.cpp quantise models, and compares what it continues with what we do on the same file, with an adapter and without:
//   node build.mjs --run scripts/llama-cpp/bases.ts [case or type …]
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { fromArray } from "../../src/gpu/tensor.ts";
import type { FileSource } from "../../src/io/files/files.ts";
import { type Model, openModel } from "../../src/load/model.ts";
import { resolveModel } from "../../src/load/model-source.ts";
import { placeTokens, wholeRows } from "../../src/nn/geometry.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { openNodeDevice } from "../../src/platform/node-gpu.ts";
import { CASES, type Case } from "./cases.ts";
import { COUNT, compareIds, compareTokens, continueAll, TEXTS } from "./compare.ts";
import { askLlama, FILE_TYPES, installLlama, quantiseByLlama } from "./llama.ts";
import { randomCheckpoint, stir } from "./random-checkpoint.ts";
import { widened } from "./widened.ts";
import { writeAdapter, writeModel } from "./write.ts";

const STORIES = "../shared/data/models/stories260K";
/**
 * How far apart the scores may be where other tokens are chosen, in standard deviations: of two ways to add in F32, and of
 * activations that llama.cpp rounds to 8 bits, as it does for the quantised types on a CPU.
 */
const [EXACT, ROUNDED] = [0.001, 1];
const TYPES = ["F32", ...(Object.keys(FILE_TYPES) as (keyof typeof FILE_TYPES)[])] as const;
const words = process.argv.slice(2);
const wantedTypes = TYPES.filter((type) => words.includes(type));
const wantedModels = words.filter((word) => !TYPES.some((type) => type === word));
const device = await openNodeDevice();
const folder = mkdtempSync(join(tmpdir(), "webgpu-lora-bases-"));
installLlama();
let failures = 0;
try {
  for (const each of CASES) await check(each.name, () => randomCheckpoint(device, wide(each)));
  if ((await folderFiles(STORIES).size("config.json")) !== undefined) {
    await check("stories260K", () => folderFiles(STORIES));
    await check("stories260K, widened", () => widened(folderFiles(STORIES)));
  }
} finally {
  rmSync(folder, { recursive: true });
}
console.log(failures === 0 ? "All agree." : `${failures} differ.`);
process.exit(failures === 0 ? 0 : 1);

/** With rows of whole blocks of 256. */
function wide({ config, ...rest }: Case): Case {
  const sizes = { hidden_size: 256, intermediate_size: 512, num_attention_heads: 4, head_dim: 64 };
  const scaling = config.rope_scaling as { readonly type?: string } | undefined;
  const factors = Array.from({ length: 24 }, (_, i) => 1 + i / 8);
  return {
    ...rest,
    config: {
      ...config,
      ...sizes,
      ...("query_pre_attn_scalar" in config && { query_pre_attn_scalar: 64 }),
      ...(scaling?.type === "longrope" && {
        rope_scaling: { ...scaling, short_factor: factors, long_factor: factors.map((factor) => 2 * factor) },
      }),
    },
  };
}

async function check(name: string, open: () => FileSource | Promise<FileSource>): Promise<void> {
  if (wantedModels.length > 0 && !wantedModels.includes(name)) return;
  const files = await open();
  const model = await openModel(files, device);
  const nothing = attach(model, lora({ r: 1, targetModules: "all-linear" })); // B is zero
  const source = await writeModel(folder, model, nothing, files, "f32", "source.gguf");
  nothing.release();
  model.release();
  for (const type of wantedTypes.length > 0 ? wantedTypes : TYPES) {
    const path = type === "F32" ? source : join(folder, `${type}.gguf`);
    if (type !== "F32") quantiseByLlama(source, path, type);
    await checkBase(`${name} ${type}`, path, type === "F32" ? EXACT : ROUNDED);
  }
}

/** The file alone, and with an adapter on it. */
async function checkBase(what: string, path: string, limit: number): Promise<void> {
  const files = await resolveModel(path, async (place) => folderFiles(place));
  const model = await openModel(files, device);
  const contexts = TEXTS.map((text) => model.tokenizer?.encode(text) ?? []);
  const compare = async (own: string, most: number, file: string, adapter?: string) => {
    const ours = await continueAll(model, contexts);
    const job = {
      model: file,
      ...(adapter !== undefined && { lora: adapter }),
      contexts,
      texts: TEXTS,
      count: COUNT,
    };
    const { tokens, continued: theirs, probabilities } = askLlama(job);
    const same = [
      compareTokens(own, model, tokens),
      await compareIds(own, { model, contexts, ours, theirs, limit: most }),
    ];
    failures += same.filter((each) => !each).length;
    const apart = await Promise.all(contexts.map((ids, i) => divergence(model, ids, probabilities[i] ?? [])));
    console.log(
      `  next token: Kullback-Leibler divergence ${apart.map((each) => each.toExponential(1)).join(", ")}`,
    );
  };
  await compare(what, limit, path);
  if (limit > EXACT) {
    // With the same values in F32 llama.cpp rounds nothing that it multiplies, and gives our text.
    const nothing = attach(model, lora({ r: 1, targetModules: "all-linear" })); // B is zero
    const same = await writeModel(folder, model, nothing, files, "f32", "same.gguf");
    nothing.release();
    await compare(`${what}, its values in F32`, EXACT, same);
  }
  const adapter = attach(model, lora({ r: 4, alpha: 8, targetModules: "all-linear" }), { seed: 3 });
  stir(adapter);
  await compare(`${what} with an adapter`, limit, path, await writeAdapter(folder, model, adapter));
  adapter.release();
  model.release();
}

/** Of our probabilities of the next token from llama.cpp's, in nats. */
async function divergence(model: Model, ids: readonly number[], theirs: readonly number[]): Promise<number> {
  const input = fromArray(model.device, Uint32Array.from(ids), [1, ids.length]);
  const geometry = placeTokens(model.device, wholeRows(1, ids.length));
  const scores = await model.logits(model.hidden(input, { training: false, seed: 0, geometry })).read();
  const last = scores.subarray(-model.config.vocabSize);
  const most = last.reduce((largest, score) => Math.max(largest, score), Number.NEGATIVE_INFINITY);
  const sum = Math.log(last.reduce((all, score) => all + Math.exp(score - most), 0));
  return theirs.reduce(
    (all, p, id) => all + (p > 0 ? p * (Math.log(p) - ((last[id] ?? 0) - most - sum)) : 0),
    0,
  );
}
