// Has llama.cpp itself open our GGUF files, models and adapters, and compares what it continues with what we do:
//   node build.mjs --run scripts/llama-cpp/main.ts [case …]
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import type { FileSource } from "../../src/io/files/files.ts";
import { GGUF_TYPES, type GgufType } from "../../src/load/gguf-model.ts";
import { openModel } from "../../src/load/model.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { openNodeDevice } from "../../src/platform/node-gpu.ts";
import { fail } from "../../src/util/fail.ts";
import { CASES } from "./cases.ts";
import { COUNT, compareIds, compareTokens, continueAll, TEXTS } from "./compare.ts";
import { askLlama, installLlama, type Job } from "./llama.ts";
import { randomCheckpoint, stir } from "./random-checkpoint.ts";
import { writeAdapter, writeModel } from "./write.ts";

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
  const base = await writeModel(folder, model, none, files, "f32", "base.gguf");
  none.release();
  const adapter = attach(model, lora({ r: 4, alpha: 8, targetModules: "all-linear" }), { seed: 3 });
  stir(adapter);
  const ours = await continueAll(model, contexts);
  if (String(plain) === String(ours)) fail(name, "the adapter changes nothing, which proves nothing");
  const compare = async (what: string, job: Pick<Job, "model" | "lora">, limit: number) => {
    const { tokens, continued } = askLlama({ ...job, contexts, texts: TEXTS, count: COUNT });
    const parts = { model, contexts, ours, theirs: continued, limit };
    const same = [compareTokens(what, model, tokens), await compareIds(`${name} ${what}`, parts)];
    failures += same.filter((each) => !each).length;
  };
  for (const type of GGUF_TYPES) {
    const path = await writeModel(folder, model, adapter, files, type, "model.gguf");
    await compare(`merged ${type}`, { model: path }, LIMITS[type]);
  }
  await compare("adapter on its base", { model: base, lora: await writeAdapter(folder, model, adapter) }, 0);
  adapter.release();
  model.release();
}
