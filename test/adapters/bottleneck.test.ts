// Bottleneck adapters beside what every method promises: where they are refused, with others, with a head, and their files.
import { describe, expect, test } from "vitest";
import { type Adapter, attach } from "../../src/adapters/adapter.ts";
import { bottleneck } from "../../src/adapters/bottleneck/bottleneck.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { fromArray } from "../../src/gpu/tensor.ts";
import { type FileContent, memoryFiles } from "../../src/io/files/files.ts";
import { adapterFiles, loadAdapter } from "../../src/load/adapter.ts";
import { inspectAdapter } from "../../src/load/inspect/inspect-adapter.ts";
import { mergedFiles } from "../../src/load/merge.ts";
import type { Model } from "../../src/load/model.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { createRandom } from "../../src/util/random.ts";
import { contextOf } from "../support/context.ts";
import { fixturePath, openTestModel, readTensors } from "../support/fixtures.ts";
import { wholeFiles } from "../support/merged-cases.ts";
import { openTestTask } from "../support/task-fixtures.ts";

const open = (name = "llama-gqa") => openTestModel(fixturePath(name));
const CONFIG = "adapter_config.json";
const PUBLISHED = fixturePath("methods/bottleneck");
const IDS = [5, 9, 13, 7];
const logitsOf = (model: Model, rows = 1) => {
  const ids = fromArray(model.device, Uint32Array.from(Array(rows).fill(IDS).flat()), [rows, IDS.length]);
  return model.logits(model.hidden(ids, contextOf(ids))).read();
};
const fill = (adapter: Adapter, seed = 4) => {
  for (const { name, tensor } of adapter.parameters.entries) {
    const random = createRandom(seed).fork(name);
    tensor.write(Float32Array.from({ length: tensor.size }, () => 0.5 * (random.uniform() - 0.5)));
  }
};
/** The published fixture with other fields, by their paths in the file, and other files beside. */
async function published(
  own: object = {},
  beside: object = {},
  { drop, add = {} }: { drop?: string; add?: Record<string, string> } = {},
) {
  const files = folderFiles(PUBLISHED);
  const names = [CONFIG, "adapter.safetensors"].filter((name) => name !== drop);
  const read = async (name: string) => files.read(name, 0, (await files.size(name))!);
  const all = new Map(await Promise.all(names.map(async (name) => [name, await read(name)] as const)));
  const json = JSON.parse(new TextDecoder().decode(all.get(CONFIG))) as { config: object };
  const changed = { ...json, config: { ...json.config, ...own }, ...beside };
  all.set(CONFIG, new TextEncoder().encode(JSON.stringify(changed)));
  for (const [name, text] of Object.entries(add)) all.set(name, new TextEncoder().encode(text));
  return memoryFiles("published", all);
}

test("what has no meaning is refused by name", async () => {
  expect(() => bottleneck({ mhAdapter: false, outputAdapter: false })).toThrow("there is no adapter");
  expect(() => bottleneck({ adapterConfig: "houlsby", residualBeforeLn: "post_add" })).toThrow(
    "goes with originalLnBefore alone",
  );
  const model = await open();
  expect(() => attach(model, bottleneck({ leaveOut: [0, 7] }))).toThrow(/leaveOut names 7, .* has 2 layers/);
  expect(() => attach(model, bottleneck({ leaveOut: [0, 1] }))).toThrow("leaveOut leaves no layer");
  expect(() => attach(model, bottleneck({ reductionFactor: { 0: 4 } }))).toThrow("has none for layer 1");
  expect(() => attach(model, bottleneck({ residualBeforeLn: "post_add" }))).toThrow(
    "which layers of a llama model do not have",
  );
  const qwen = await open("families/qwen3");
  expect(() => attach(qwen, bottleneck())).toThrow(
    /is a qwen3 model, of whose layers AdapterHub has no such/,
  );
  const adapter = attach(model, bottleneck());
  expect(() => adapter.scaled(0.5)).toThrow("BOTTLENECK has no factor of its update");
  await expect(mergedFiles(model, adapter, folderFiles(fixturePath("llama-gqa")))).rejects.toThrow(
    "BOTTLENECK has no merged form",
  );
});

test("each row of a batch goes through its own, beside LoRA and another", async () => {
  const model = await open();
  const [one, two] = (["houlsby", "parallel"] as const).map((adapterConfig, i): Adapter => {
    const adapter = attach(model, bottleneck({ adapterConfig }), { name: adapterConfig });
    fill(adapter, i);
    return adapter;
  });
  const three = attach(model, lora({ r: 2 }), { name: "three" });
  fill(three);
  const rows = [[one!, three], [], [two!]];
  const mixed = await logitsOf(model.withRowAdapters(rows) as Model, 3);
  const size = mixed.length / 3;
  for (const [i, adapters] of rows.entries()) {
    const alone = await logitsOf(model.withAdapters(adapters) as Model);
    expect(mixed.slice(i * size, (i + 1) * size)).toBeClose(alone, 1e-5);
  }
});

test("a classifier's head lies beside it, as AdapterHub has it", async () => {
  const folder = fixturePath("tasks/bert-sequence");
  const model = await openTestTask(folder);
  const adapter = attach(model, bottleneck({ reductionFactor: 4 }), { name: "sst" });
  fill(adapter);
  const files = await wholeFiles(await adapterFiles(adapter));
  const json = (name: string) => JSON.parse(new TextDecoder().decode(files.get(name)));
  expect(json("head_config.json")).toMatchObject({
    model_class: "BertForSequenceClassification",
    num_labels: 3,
    label2id: { LABEL_0: 0, LABEL_1: 1, LABEL_2: 2 },
  });
  expect(json(CONFIG)).toMatchObject({ name: "sst", model_type: "bert", hidden_size: 16 });
  const again = await openTestTask(folder);
  const loaded = await loadAdapter(again, memoryFiles("again", files), { name: "sst" });
  const head = (of: Adapter) =>
    Promise.all(of.saved.flatMap(({ tensors }) => Object.values(tensors)).map((tensor) => tensor.read()));
  expect(await head(loaded)).toEqual(await head(adapter));
  expect(await wholeFiles(await adapterFiles(loaded))).toEqual(files);
  const without = new Map<string, Uint8Array>([...files].filter(([name]) => !name.includes("head")));
  const bare = await loadAdapter(await openTestTask(folder), memoryFiles("bare", without));
  expect(bare.saved).toEqual([]);
});

describe("its files", () => {
  const load = async (...change: Parameters<typeof published>) =>
    loadAdapter(await open(), await published(...change));

  test.each([
    ["ln_before", true, "a new LayerNorm before the bottleneck"],
    ["original_ln_after", false, "layers without their residual connection"],
    ["use_gating", true, "gates"],
    ["inv_adapter", "nice", "an invertible adapter"],
    ["phm_layer", true, "Compacter's"],
    ["stochastic_depth", 0.1, "layers that are left out while training"],
    ["architecture", "lora", "this method of AdapterHub's"],
  ])("%s %s is refused", async (name, value, what) => {
    await expect(load({ [name]: value })).rejects.toThrow(`${name} is ${JSON.stringify(value)}: ${what}`);
  });

  test.each([
    ["non_linearity", "leakyrelu", "expected one of relu"],
    ["scaling", "other", "expected a number, or one of learned, channel"],
    ["mh_adapter", null, "mh_adapter is missing"],
    ["reduction_factor", 0, "expected a number above 0"],
    ["mh_adapter", true, "model.layers.0.attention_adapters: its adapter is missing in the file"],
    ["reduction_factor", 8, "down_weight is [8,32], wanted [4,32]"],
    ["leave_out", [1], "model.layers.1.output_adapters: the configuration has no adapter there"],
    ["ln_after", true, "down_weight, down_bias, up_weight, up_bias without norm_weight, norm_bias"],
  ])("%s %s contradicts the rest", async (name, value, problem) => {
    await expect(load({ [name]: value })).rejects.toThrow(problem);
  });

  test("another model is told, and a name that AdapterHub cannot have", async () => {
    await expect(load({}, { model_type: "gpt2" })).rejects.toThrow(
      /for a gpt2 model, and .* is a llama model/,
    );
    await expect(load({}, { hidden_size: 64 })).rejects.toThrow("hidden_size is 64, and that of");
    const adapter = attach(await open(), bottleneck(), { name: "a.b" });
    await expect(adapterFiles(adapter)).rejects.toThrow(
      'name is "a.b": AdapterHub\'s names of adapters have no dot',
    );
  });

  test("without a version, gelu is gelu_new", async () => {
    const { method } = await load({ non_linearity: "gelu" }, { version: undefined });
    expect(method).toMatchObject({ shape: { nonLinearity: "gelu_new" } });
  });

  test("a pickle is told with the way to a file that can be read", async () => {
    const files = { drop: "adapter.safetensors", add: { "pytorch_adapter.bin": "x" } };
    await expect(load({}, {}, files)).rejects.toThrow(
      /no such file, only pytorch_adapter\.bin: a Python pickle[\s\S]*"adapter\.safetensors"/,
    );
  });

  test("inspectAdapter tells what it is", async () => {
    const report = await inspectAdapter(await published());
    expect(report).toMatchObject({
      type: "BOTTLENECK",
      origin: { baseModel: "test/fixtures/llama-gqa" },
      settings: { reduction_factor: 4, model_class: "LlamaForCausalLM" },
    });
    const stored = await readTensors(PUBLISHED, "adapter.safetensors");
    expect(report.others.length).toBe(stored.size);
  });

  test("tensors by the names of older versions, and of other methods, are refused with a remedy", async () => {
    const named = async (name: string) => {
      const files: ReadonlyMap<string, FileContent> = await adapterFiles(attach(await open(), bottleneck()));
      const bytes = files.get("adapter.safetensors") as Uint8Array;
      const header = new TextDecoder("latin1").decode(bytes);
      const text = header.replaceAll("output_adapters.adapters.default", name);
      const data = Uint8Array.from(text, (char) => char.charCodeAt(0));
      new DataView(data.buffer).setUint32(0, bytes[0]! + 256 * bytes[1]! + data.length - bytes.length, true);
      const own = files.get(CONFIG) as string;
      return memoryFiles(
        "old",
        new Map([
          [CONFIG, new TextEncoder().encode(own)],
          ["adapter.safetensors", data],
        ]),
      );
    };
    const model = await open();
    const old = named("output.layer_text_task_adapters.default");
    await expect(loadAdapter(model, await old)).rejects.toThrow("by the names of adapter-transformers 1");
    await expect(loadAdapter(model, await named("attn.loras.default"))).rejects.toThrow(
      "tensors of another method of AdapterHub's",
    );
  });
});
