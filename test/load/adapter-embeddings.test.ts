// LoRA of embeddings, tied or not, trained rows, and matrices of the vocabulary that lie beside an adapter.
import { describe, expect, test } from "vitest";
import { type Adapter, attach } from "../../src/adapters/adapter.ts";
import { type LoraOptions, lora } from "../../src/adapters/lora/lora.ts";
import { fromArray } from "../../src/gpu/tensor.ts";
import { memoryFiles } from "../../src/io/files/files.ts";
import { adapterFiles, loadAdapter } from "../../src/load/adapter.ts";
import { mergedFiles } from "../../src/load/merge.ts";
import { type Model, openModel } from "../../src/load/model.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { createRandom } from "../../src/util/random.ts";
import { type AdapterEdit, editedAdapter } from "../support/adapters.ts";
import { contextOf } from "../support/context.ts";
import { testDevice } from "../support/device.ts";
import { fixturePath, openTestModel } from "../support/fixtures.ts";
import { wholeFiles } from "../support/merged-cases.ts";

const open = (name = "llama-gqa") => openTestModel(fixturePath(name));
const IDS = [5, 9, 13, 7, 2];
const lastLogits = async (model: Model, ids = IDS) => {
  const tensor = fromArray(model.device, Uint32Array.from(ids), [1, ids.length]);
  return (await model.logits(model.hidden(tensor, contextOf(tensor))).read()).slice(-model.config.vocabSize);
};
const fill = (adapter: Adapter) => {
  for (const { name, tensor } of adapter.parameters.entries) {
    const random = createRandom(4).fork(name);
    tensor.write(Float32Array.from({ length: tensor.size }, () => random.uniform() - 0.5));
  }
};
/** A filled adapter, saved, changed, and loaded onto another model. */
async function reloaded(options: LoraOptions, edit: AdapterEdit = {}, name?: string) {
  const model = await open(name);
  const adapter = attach(model, lora({ r: 2, alpha: 4, targetModules: ["q_proj"], ...options }));
  fill(adapter);
  const files = await adapterFiles(adapter);
  return {
    model,
    adapter,
    files,
    load: async () => loadAdapter(await open(name), editedAdapter(files, edit)),
  };
}

describe("an update of an embedding", () => {
  test("all-linear leaves embeddings out, and what PEFT has at linear layers alone is refused", async () => {
    const model = await open();
    const all = lora({ targetModules: "all-linear" }).sites(model);
    expect(all.some(({ path }) => path.endsWith("embed_tokens"))).toBe(false);
    const targetModules = ["embed_tokens", "q_proj"];
    expect(() => attach(model, lora({ targetModules, loraBias: true }))).toThrow(
      "model.embed_tokens is an embedding, and loraBias is for linear layers",
    );
  });

  test("of a tied pair one alone is changed, and merging makes two matrices of the one", async () => {
    const model = await open("llama-tied");
    const adapter = attach(model, lora({ r: 2, targetModules: ["embed_tokens"] }));
    fill(adapter);
    const base = folderFiles(fixturePath("llama-tied"));
    const warnings: string[] = [];
    const onWarning = (line: string) => warnings.push(line);
    const files = await wholeFiles(await mergedFiles(model, adapter, base, { onWarning }));
    expect(warnings).toEqual([
      expect.stringMatching(
        /^lm_head and model\.embed_tokens are one matrix .* changes model\.embed_tokens by itself: .* has two/,
      ),
    ]);
    const merged = await openModel(memoryFiles("merged", files), await testDevice());
    expect(merged.tied).toBe(false);
    expect(await lastLogits(merged)).toBeClose(await lastLogits(model), 5e-2);
  });

  test.each([false, true])(
    "where each row of a batch has its own, it is the row's; DoRA: %s",
    async (useDora) => {
      const model = await open();
      const adapter = attach(model, lora({ r: 2, useDora, targetModules: ["embed_tokens"] }));
      fill(adapter);
      const [own, base] = [await lastLogits(model), await lastLogits(model.withAdapters([]))];
      const both = model.withRowAdapters([[adapter], []]);
      const ids = fromArray(model.device, Uint32Array.from([...IDS, ...IDS]), [2, IDS.length]);
      const logits = await both.logits(both.hidden(ids, contextOf(ids))).read();
      const { vocabSize } = model.config;
      expect(logits.slice((IDS.length - 1) * vocabSize, IDS.length * vocabSize)).toBeClose(own, 1e-5);
      expect(logits.slice(-vocabSize)).toBeClose(base, 1e-5);
    },
  );

  test("shapes that do not fit, and a missing half, are told at once", async () => {
    const change: AdapterEdit["change"] = (entry) =>
      entry.name.endsWith("lora_embedding_B") ? { ...entry, shape: [8, 8] } : entry;
    const { load } = await reloaded({ targetModules: ["q_proj", "embed_tokens"] }, { change });
    await expect(load()).rejects.toThrow("the rank of lora_A [r, in] is not that of lora_B [out, r]");
  });

  test("DoRA scales the vectors of another adapter's table by the norms of that one", async () => {
    const model = await open();
    const other = attach(model, lora({ modulesToSave: ["embed_tokens"] }), { name: "other" });
    const trained = other.saved.flatMap(({ tensors }) => Object.values(tensors));
    for (const tensor of trained) tensor.write((await tensor.read()).map((value) => 3 * value));
    const before = await lastLogits(model.withAdapters([]));
    attach(model, lora({ useDora: true, targetModules: ["embed_tokens"] })); // magnitudes of the model's own table
    expect(await lastLogits(model)).toBeClose(before, 1e-5);
  });

  test("DoRA has magnitudes that fit, and none where an embedding and the output layer are one", async () => {
    const model = await open("llama-tied");
    const options = { useDora: true, targetModules: ["embed_tokens"] };
    expect(() => attach(model, lora({ ...options, ensureWeightTying: true }))).toThrow(
      "lm_head shares its update with an embedding, and useDora gives each magnitudes of its own",
    );
    const isMagnitude = (name: string) => name.endsWith("magnitude_vector");
    const lacking = await reloaded(options, { tensors: (name) => !isMagnitude(name) });
    await expect(lacking.load()).rejects.toThrow(
      "lora_embedding_A, lora_embedding_B without lora_magnitude_vector",
    );
    const change: AdapterEdit["change"] = (entry) =>
      isMagnitude(entry.name) ? { ...entry, shape: [2, entry.shape[0]! / 2] } : entry;
    const wrong = await reloaded(options, { change });
    await expect(wrong.load()).rejects.toThrow("lora_magnitude_vector is not [out] of lora_B [out, r]");
  });
});

describe("ensureWeightTying", () => {
  test("has nothing to tie without a tied pair, without a target, and with one of each", async () => {
    const tie = (options: LoraOptions) =>
      lora({ targetModules: ["q_proj"], ...options, ensureWeightTying: true });
    const untied = await open();
    expect(() => attach(untied, tie({}))).toThrow(
      /has a matrix of its own[\s\S]*leave ensureWeightTying out/,
    );
    const tied = await open("llama-tied");
    expect(() => attach(tied, tie({}))).toThrow("neither of model.embed_tokens and lm_head is adapted");
    const both = tie({ targetModules: ["q_proj", "lm_head"], modulesToSave: ["embed_tokens"] });
    expect(() => attach(tied, both)).toThrow("one is a target and one is trained whole");
    const other = { embed_tokens: [1], lm_head: [2] };
    expect(() => attach(tied, tie({ trainableTokenIndices: other }))).toThrow(
      "trainableTokenIndices names other tokens for each",
    );
  });

  test("merged, an update of both leaves them tied", async () => {
    const options = { targetModules: ["q_proj", "lm_head"], ensureWeightTying: true };
    const { model, adapter, load } = await reloaded(options, {}, "llama-tied");
    expect(adapter.parameters.entries.map(({ name }) => name.split(".").slice(-2).join("."))).toContain(
      "embed_tokens.lora_embedding_A",
    );
    const again = await load();
    expect(await lastLogits(again.base as Model)).toBeClose(await lastLogits(model), 1e-6);
    const base = folderFiles(fixturePath("llama-tied"));
    const onWarning = (line: string) => expect.unreachable(line);
    const files = await wholeFiles(await mergedFiles(model, adapter, base, { onWarning }));
    expect([...files.keys()].some((name) => name.endsWith(".safetensors"))).toBe(true);
    const merged = await openModel(memoryFiles("merged", files), await testDevice());
    expect(merged.tied).toBe(true);
  });

  test("a file that has other values for each is refused", async () => {
    const change: AdapterEdit["change"] = (entry) =>
      entry.name === "base_model.model.lm_head.lora_A.weight"
        ? { ...entry, data: new Uint8Array((entry.data as Uint8Array).length) }
        : entry;
    const options = { targetModules: ["q_proj", "embed_tokens"], ensureWeightTying: true };
    const { load } = await reloaded(options, { change }, "llama-tied");
    await expect(load()).rejects.toThrow("lm_head and model.embed_tokens are one matrix");
  });
});

describe("trained rows of tokens", () => {
  const attached = async (
    trainableTokenIndices: LoraOptions["trainableTokenIndices"],
    more: LoraOptions = {},
  ) =>
    attach(
      await open(),
      lora({ targetModules: ["q_proj"], ...more, trainableTokenIndices: trainableTokenIndices! }),
    );

  test("all that is wrong is told at once", async () => {
    const given = { embed_tokens: [97, 3, 3], nowhere: [1], lm_head: [5] };
    await expect(attached(given, { modulesToSave: ["lm_head"] })).rejects.toThrow(
      /has 97 rows, and trainableTokenIndices names 97[\s\S]*names 3 of model.embed_tokens more than once[\s\S]*"nowhere" of trainableTokenIndices is no embedding[\s\S]*lm_head is trained whole by modulesToSave/,
    );
    await expect(attached([1], { targetModules: ["q_proj", "embed_tokens"] })).rejects.toThrow(
      "model.embed_tokens is a target, and trainableTokenIndices trains rows of it",
    );
    expect(() => lora({ trainableTokenIndices: [-1] })).toThrow(
      "trainableTokenIndices is [-1], wanted a list of ids",
    );
  });

  test("other tokens are as they were, and scaled by 0 or taken off all are", async () => {
    const adapter = await attached([5]);
    const model = adapter.base as Model;
    const before = await lastLogits(model);
    fill(adapter);
    const without = model.withAdapters([adapter.scaled(0)]);
    expect(await lastLogits(without)).toBeClose(before, 1e-6);
    adapter.enable(false);
    expect(await lastLogits(model)).toEqual(before);
  });

  test("a file without their rows, or with others than the configuration names, is refused", async () => {
    const edit = (config: object) => ({ config: { trainable_token_indices: config } }) as AdapterEdit;
    const load = async (config: object) =>
      (await reloaded({ trainableTokenIndices: [5, 1] }, edit(config))).load();
    await expect(load([5])).rejects.toThrow("trained rows that are not the 1 of trainable_token_indices");
    await expect(load({ embed_tokens: [5, 1], lm_head: [3] })).rejects.toThrow(
      "trainable_token_indices names tokens whose rows are missing: lm_head",
    );
    await expect(load([5, 1000])).rejects.toThrow("has 97 rows, and trainableTokenIndices names 1000");
    await (await load([5, 2])).release();
  });
});

describe("matrices of the vocabulary beside an adapter", () => {
  test("take the place of the model's and are kept, but not trained", async () => {
    const add = {
      "base_model.model.model.embed_tokens.weight": [97, 32],
      "base_model.model.lm_head.weight": [97, 32],
    };
    const { files, load } = await reloaded({}, { add });
    const adapter = await load();
    expect(adapter.saved.length).toBe(2);
    expect(adapter.parameters.entries.every(({ name }) => name.includes("lora_"))).toBe(true);
    const again = await adapterFiles(adapter);
    expect(again.get("adapter_config.json")).toBe(files.get("adapter_config.json"));
    const model = await open();
    await loadAdapter(model, memoryFiles("again", await wholeFiles(again)));
    expect(await lastLogits(model)).toEqual(await lastLogits(adapter.base as Model));
  });

  test("of more tokens than the model has, the remedy is to resize it as for PEFT", async () => {
    const add = {
      "base_model.model.model.embed_tokens.weight": [100, 32],
      "base_model.model.lm_head.weight": [100, 32],
    };
    await expect((await reloaded({}, { add })).load()).rejects.toThrow(
      /lm_head.weight is \[100,32\][\s\S]*model.embed_tokens.weight is \[100,32\], the model has \[97,32\][\s\S]*base.resize_token_embeddings\(100\)/,
    );
  });
});
