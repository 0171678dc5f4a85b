// Merges an adapter of each method into a small model of each family, and writes what check_merged.py opens:
//   MERGED_METHODS=/tmp/methods npx vitest run test/load/merged-methods.test.ts
//   python test/fixtures/check_merged.py /tmp/methods --out test/fixtures/merged-methods.json
import { mkdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { expect, test } from "vitest";
import { adalora } from "../../src/adapters/adalora/adalora.ts";
import { type Adapter, attach } from "../../src/adapters/adapter.ts";
import { beft } from "../../src/adapters/beft/beft.ts";
import { ia3 } from "../../src/adapters/ia3/ia3.ts";
import { lnTuning } from "../../src/adapters/ln-tuning/ln-tuning.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { loha } from "../../src/adapters/lycoris/loha.ts";
import { lokr } from "../../src/adapters/lycoris/lokr.ts";
import type { Method } from "../../src/adapters/method.ts";
import { METHODS as REGISTRY } from "../../src/adapters/methods.ts";
import { oft } from "../../src/adapters/oft/oft.ts";
import { vera } from "../../src/adapters/vera/vera.ts";
import { memoryFiles } from "../../src/io/files/files.ts";
import { writeSafetensors } from "../../src/io/formats/safetensors-writer.ts";
import { adapterFiles, LABELS_FILE } from "../../src/load/adapter.ts";
import { mergedFiles } from "../../src/load/merge.ts";
import { type LoadedModel, openTaskModel } from "../../src/load/model.ts";
import { isLeaf, type Module, modules } from "../../src/nn/module.ts";
import { createRandom } from "../../src/util/random.ts";
import { testDevice } from "../support/device.ts";
import { fixturePath, readJsonFile } from "../support/fixtures.ts";
import { baseFiles, logitsOf, MERGED_CASES, type MergedCase, wholeFiles } from "../support/merged-cases.ts";

/** Each method on the layers that PEFT adapts in the model where none are named. */
const METHODS: Readonly<Record<string, (targetModules: string[], model: LoadedModel) => Method>> = {
  lora: (targetModules) => lora({ r: 2, alpha: 4, targetModules }),
  dora: (targetModules) => lora({ r: 2, alpha: 4, targetModules, useDora: true }),
  adalora: (targetModules) =>
    adalora({ ...{ initR: 3, targetR: 2, alpha: 6, tinit: 1, tfinal: 2, totalStep: 10 }, targetModules }),
  ia3: (targetModules) => ia3({ targetModules, feedforwardModules: targetModules.slice(0, 1) }),
  loha: (targetModules) => loha({ r: 2, alpha: 4, targetModules }),
  lokr: (targetModules) => lokr({ r: 2, alpha: 4, targetModules }),
  oft: (targetModules) => oft({ oftBlockSize: 4, targetModules }),
  vera: (targetModules) => vera({ r: 4, targetModules }),
  ln_tuning: (_, { root }) => lnTuning({ targetModules: [...modules(root)].filter(isNorm).map(lastName) }),
  beft: (targetModules) => beft({ targetModules }),
};

const lastName = ({ path }: Module) => path.split(".").at(-1) ?? path;
const isNorm = (module: Module) => isLeaf(module) && /norm|^ln_/i.test(lastName(module));

/** Where to write the folders for check_merged.py; else nothing is written. */
const OUT = process.env.MERGED_METHODS;
/** Of these methods alone, where some are named. */
const ONLY = process.env.ONLY_METHODS?.split(",") ?? Object.keys(METHODS);
const FIXTURES = MERGED_CASES.filter(({ name, fixture }) => name === fixture);

/** What transformers and PEFT said of a merged model; see check_merged.py. */
interface Verdict {
  readonly warnings: readonly string[];
  readonly merged_logits: number;
  readonly adapter_logits: number;
  readonly merged_weights: number;
}

test("every method that merges was opened by transformers and PEFT, merged into every family", () => {
  const { cases } = readJsonFile<{ cases: Record<string, Verdict> }>(fixturePath("."), "merged-methods.json");
  const merging = REGISTRY.map(({ name }) => name).filter(
    (name) => !/prompt|prefix|p_tuning|bottleneck/.test(name),
  );
  expect(merging.filter((name) => !(name in METHODS))).toEqual([]);
  for (const [name, { warnings, merged_logits, adapter_logits }] of Object.entries(cases)) {
    expect(warnings, name).toEqual([]);
    expect(merged_logits, name).toBeLessThan(1e-4);
    expect(adapter_logits, name).toBeLessThan(1e-4);
  }
  const missing = FIXTURES.flatMap(({ fixture }) =>
    Object.keys(METHODS)
      .map((method) => `${fixture} ${method}`)
      .filter((name) => !(name in cases)),
  );
  expect(missing.filter((name) => !/ beft$|gpt2\S* (loha|lokr|oft)$/.test(name))).toEqual([]); // which need biases, or no Conv1D
});

test.runIf(OUT).each(FIXTURES)("$name", async (each) => {
  for (const [name, make] of Object.entries(METHODS).filter(([name]) => ONLY.includes(name))) {
    const model: LoadedModel = await openTaskModel(
      memoryFiles(each.fixture, await baseFiles(each)),
      await testDevice(),
    );
    try {
      await write(join(OUT ?? "", each.fixture, name), each, model, make([...model.defaultTargets], model));
    } catch (error) {
      const [line] = error instanceof Error ? error.message.split("\n") : [];
      console.log(`${each.fixture} ${name}: ${line}`);
    }
    model.release();
  }
});

/** The adapter, the merged model, and what the model with the adapter computes. */
async function write(folder: string, each: MergedCase, model: LoadedModel, method: Method): Promise<void> {
  const base = await baseFiles(each);
  const adapter = attach(model, method, { seed: 5 });
  await stir(adapter);
  const files = await adapterFiles(adapter);
  files.delete(LABELS_FILE); // PEFT reads none
  const merged = await wholeFiles(await mergedFiles(model, adapter, memoryFiles(each.fixture, base)));
  const logits = await logitsOf(model, each.fixture);
  const again: LoadedModel = await openTaskModel(memoryFiles("merged", merged), await testDevice());
  const tensors = { adapter: logits, merged: await logitsOf(again, each.fixture) };
  again.release();
  const stored = Object.entries(tensors).map(([name, values]) => ({
    ...{ name, dtype: "F32" as const, shape: [values.length] },
    data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  }));
  const about = { name: `${each.fixture} ${basename(folder)}`, fixture: each.fixture, task: model.task };
  const beside = new Map<string, Uint8Array>([
    ["logits.safetensors", writeSafetensors(stored)],
    ["case.json", new TextEncoder().encode(JSON.stringify(about))],
  ]);
  const parts = { base, adapter: await wholeFiles(files), merged, ".": beside };
  for (const [part, content] of Object.entries(parts)) {
    for (const [file, bytes] of content) {
      const path = join(folder, part, file);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, bytes);
    }
  }
}

/** Every trained value moved: most methods begin as no change. */
async function stir({ parameters }: Adapter): Promise<void> {
  const random = createRandom(11);
  for (const { name, tensor } of parameters.entries) {
    const own = random.fork(name);
    const values = (await tensor.read()).map((value) => value + 0.1 * own.normal());
    tensor.write(Float32Array.from(values));
  }
}
