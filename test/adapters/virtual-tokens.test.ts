// Tokens that stand before every text: where they go, whatever the rows, the cache and the family.
import { describe, expect, test } from "vitest";
import { type Adapter, attach } from "../../src/adapters/adapter.ts";
import { ia3 } from "../../src/adapters/ia3/ia3.ts";
import { prefixTuning } from "../../src/adapters/prompts/prefix-tuning.ts";
import { promptTuning } from "../../src/adapters/prompts/prompt-tuning.ts";
import { fromArray } from "../../src/gpu/tensor.ts";
import { memoryFiles } from "../../src/io/files/files.ts";
import { castToFloat } from "../../src/kernels/cast.ts";
import { adapterFiles, loadAdapter } from "../../src/load/adapter.ts";
import { type Model, openTaskModel } from "../../src/load/model.ts";
import { isEmbedding } from "../../src/nn/embedding.ts";
import { modules } from "../../src/nn/module.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { generateTokens } from "../../src/train/generate.ts";
import { generateBatch } from "../../src/train/generate-batch.ts";
import { languageModelling } from "../../src/train/language-modelling.ts";
import { Optimizer } from "../../src/train/optimizer.ts";
import { accumulateGradients } from "../../src/train/pass.ts";
import { contextOf } from "../support/context.ts";
import { testDevice } from "../support/device.ts";
import { BUNDLED_MODEL, fixturePath, openTestModel, readJsonFile } from "../support/fixtures.ts";
import { LAYOUTS, layItems } from "../support/layouts.ts";
import { wholeFiles } from "../support/merged-cases.ts";

const LLAMA = fixturePath("llama-gqa");
const METHODS = { PROMPT_TUNING: promptTuning, PREFIX_TUNING: prefixTuning };
type Type = keyof typeof METHODS;
const TYPES = Object.keys(METHODS) as Type[];

interface Golden {
  ids: number[];
  count: number;
  cases: Record<string, { columns: number; scores: number[]; text: number[] }>;
}

const golden = readJsonFile<Golden>(fixturePath("."), "virtual-tokens.json");

/** As make_virtual_tokens.py fills them. */
function fill({ parameters: { entries } }: Adapter): void {
  for (const { tensor } of entries) {
    tensor.write(Float32Array.from({ length: tensor.size }, (_, i) => Math.sin(0.7 * i + 0.3) / 2));
  }
}

async function withTokens(folder: string, type: Type, count = golden.count) {
  const model = await openTestModel(folder);
  const adapter = attach(model, METHODS[type]({ numVirtualTokens: count }));
  fill(adapter);
  return { model, adapter };
}

async function lastScores(model: Model, inputIds: readonly number[]) {
  const ids = fromArray(model.device, Uint32Array.from(inputIds), [1, inputIds.length]);
  const all = await model.logits(model.hidden(ids, contextOf(ids))).read();
  return all.slice(-model.config.vocabSize);
}

async function greedy(model: Model, ids: readonly number[], maxNewTokens: number) {
  const text: number[] = [];
  for await (const id of generateTokens(model, ids, { maxNewTokens, temperature: 0 })) text.push(id);
  return text;
}

test.each(Object.keys(golden.cases))("%s: scores and text are PEFT's", async (name) => {
  const [folder = "", type = ""] = name.split(" ");
  const { scores, text, columns } = golden.cases[name]!;
  const { model, adapter } = await withTokens(fixturePath(folder), type as Type);
  expect(adapter.shared.prompt_embeddings!.shape).toEqual([golden.count, columns]);
  expect(await lastScores(model, golden.ids)).toBeClose(scores, 1e-4);
  expect(await greedy(model, golden.ids, text.length)).toEqual(text);
  model.release();
});

describe.each(TYPES)("%s", (type) => {
  test("rows may be padded and packed in any way", async () => {
    const { model, adapter } = await withTokens(LLAMA, type);
    const items = [9, 5, 12].map((length, row) => {
      const inputIds = Array.from({ length }, (_, i) => 3 + ((7 * i + 11 * row) % 90));
      return { inputIds, labels: inputIds };
    });
    const optimizer = new Optimizer(adapter.parameters);
    const [first, ...others] = await Promise.all(
      Object.values(LAYOUTS).map(async (layout) => {
        const batch = layItems("causal-lm", items as never[], layout) as never;
        for (const gradient of optimizer.gradients.values()) gradient.write(new Float32Array(gradient.size));
        const options = { seed: 0, checkpoint: layout.paddingSide === "left" };
        const objective = languageModelling(model);
        const { parameters } = adapter;
        const loss = accumulateGradients(objective, parameters, optimizer.gradients, [batch], options).read();
        const gradient = optimizer.gradients.get(parameters.entries[0]!.tensor)!.read();
        return { loss: await loss, gradient: await gradient };
      }),
    );
    for (const { loss, gradient } of others) {
      expect(loss).toBeClose(first!.loss, 1e-5);
      expect(gradient).toBeClose(first!.gradient, 1e-4);
    }
    optimizer.release();
  });

  test("texts side by side are those that are written one by one", async () => {
    const { model } = await withTokens(BUNDLED_MODEL, type);
    const prompts = ["Anna has three", "The red", "A long list of small things, one of which"];
    const options = { temperature: 0, maxNewTokens: 8 };
    const texts = async (prompts: readonly string[]) => {
      const found = prompts.map(() => "");
      for await (const { index, piece } of generateBatch(model, prompts, { ...options, batchSize: 2 })) {
        found[index] += piece;
      }
      return found;
    };
    const alone = await Promise.all(prompts.map((prompt) => texts([prompt])));
    expect(await texts(prompts)).toEqual(alone.flat());
  });

  test("a cache that was made without them, or with others, is refused", async () => {
    const { model } = await withTokens(LLAMA, type);
    const cache = model.withAdapters([]).newCache(8);
    const ids = fromArray(model.device, Uint32Array.of(1, 2), [1, 2]);
    expect(() => model.hidden(ids, { ...contextOf(ids), cache })).toThrow(
      "the cache begins with 0 virtual tokens",
    );
    cache.release();
    const own = model.newCache(8);
    expect([own.capacity, own.virtual]).toEqual([8, golden.count]);
    own.truncate(0, 0);
    own.clear();
    expect(own.rows).toEqual([{ first: 0, end: golden.count }]);
    own.release();
  });

  test("they take positions from the text", async () => {
    const { model } = await withTokens(LLAMA, type, 100);
    const free = model.config.maxPositions - 100;
    const ids = Array.from({ length: free }, () => 5);
    expect(() =>
      languageModelling(model).collate([{ inputIds: [...ids, 5, 5], labels: [...ids, 5, 5] }], none),
    ).toThrow(`the model has ${free + 1} positions`);
    await expect(greedy(model, ids, 1)).rejects.toThrow(`the model has ${free} positions`);
    expect(await greedy(model, ids.slice(2), 9)).toHaveLength(2);
  });

  test("a second adapter with some, and models of other tasks, are refused", async () => {
    const { model } = await withTokens(LLAMA, type);
    attach(model, ia3(), { name: "beside" });
    expect(() => attach(model, METHODS[type]({ numVirtualTokens: 2 }), { name: "second" })).toThrow(
      "default and second both have virtual tokens",
    );
    const classifier = await openTaskModel(
      folderFiles(fixturePath("tasks/bert-sequence")),
      await testDevice(),
      {
        task: "sequence-classification",
      },
    );
    expect(() => attach(classifier, METHODS[type]({ numVirtualTokens: 2 }))).toThrow(
      "is for models that predict the next token",
    );
  });

  test("files for another model, and what is not supported in them, are refused by field", async () => {
    const { adapter } = await withTokens(LLAMA, type);
    const files = await wholeFiles(await adapterFiles(adapter));
    const config = JSON.parse(new TextDecoder().decode(files.get("adapter_config.json")));
    const loading = async (fields: object) => {
      const edited = new TextEncoder().encode(JSON.stringify({ ...config, ...fields }));
      const changed = memoryFiles("edited", new Map([...files, ["adapter_config.json", edited]]));
      return loadAdapter(await openTestModel(LLAMA), changed);
    };
    await expect(loading({ num_layers: 5, num_virtual_tokens: 4 })).rejects.toThrow(
      /num_layers is 5, the model's is 2[\s\S]*prompt_embeddings is \[3,\d+\], wanted \[4,\d+\]/,
    );
    await expect(loading({ modules_to_save: ["lm_head"] })).rejects.toThrow(
      "modules_to_save is not supported",
    );
    await expect(loading({ num_transformer_submodules: 2 })).rejects.toThrow(
      "num_transformer_submodules is 2",
    );
    await expect(loading({ num_virtual_tokens: null })).rejects.toThrow("num_virtual_tokens is missing");
  });
});

const none = undefined as never;

test("a prompt begins with the vectors of a text's words, cut or repeated", async () => {
  const model = await openTestModel(BUNDLED_MODEL);
  const text = "Anna has three";
  const ids = model.tokenizer!.encode(text);
  const options = {
    promptTuningInit: "TEXT",
    promptTuningInitText: text,
    numVirtualTokens: ids.length + 2,
  } as const;
  const adapter = attach(model, promptTuning(options));
  const values = await adapter.shared.prompt_embeddings!.read();
  const { weight } = [...modules(model.root)].find(isEmbedding)!.tensors;
  const table = await castToFloat(weight).read();
  const width = model.config.hiddenSize;
  for (let i = 0; i < ids.length + 2; i++) {
    const id = ids[i % ids.length]!;
    expect(values.slice(i * width, (i + 1) * width)).toEqual(table.slice(id * width, (id + 1) * width));
  }
  const files = await wholeFiles(await adapterFiles(adapter));
  expect(JSON.parse(new TextDecoder().decode(files.get("adapter_config.json")))).toMatchObject({
    prompt_tuning_init: "TEXT",
    prompt_tuning_init_text: text,
    tokenizer_name_or_path: model.name,
  });
  const again = await loadAdapter(await openTestModel(BUNDLED_MODEL), memoryFiles("again", files));
  expect(await again.shared.prompt_embeddings!.read()).toEqual(values);
});

test("a prompt may begin with the vectors of words by chance", async () => {
  const model = await openTestModel(LLAMA);
  const adapter = attach(model, promptTuning({ numVirtualTokens: 2, promptTuningInit: "SAMPLE_VOCAB" }));
  const values = await adapter.shared.prompt_embeddings!.read();
  const { weight } = [...modules(model.root)].find(isEmbedding)!.tensors;
  const table = await castToFloat(weight).read();
  const rows = Array.from({ length: weight.rows }, (_, i) => String(table.slice(i * 32, (i + 1) * 32)));
  for (const i of [0, 1]) expect(rows).toContain(String(values.slice(i * 32, (i + 1) * 32)));
});

test("options that contradict each other, and a text without a tokenizer, are refused", async () => {
  expect(() => promptTuning({ numVirtualTokens: 2, promptTuningInit: "TEXT" })).toThrow(
    "TEXT without a text",
  );
  expect(() => promptTuning({ numVirtualTokens: 2, promptTuningInitText: "a" })).toThrow(
    "promptTuningInit is RANDOM",
  );
  const options = { numVirtualTokens: 2, promptTuningInit: "TEXT", promptTuningInitText: "a" } as const;
  const model = await openTestModel(LLAMA);
  expect(() => attach(model, promptTuning(options))).toThrow("has no tokenizer");
});

test("a model that rotates by the length of the text is trained, and its prompt isn't cached", async () => {
  const { model } = await withTokens(fixturePath("families/llama-dynamic"), "PROMPT_TUNING");
  await expect(greedy(model, [1, 2], 2)).rejects.toThrow("rotates all keys of a text by its length");
});
