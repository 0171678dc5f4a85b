// PEFT's layer_replication: layers stacked anew that share their weights, LoRA apart for each (make_replication.py).
import { expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { ia3 } from "../../src/adapters/ia3/ia3.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { fromArray } from "../../src/gpu/tensor.ts";
import { memoryFiles } from "../../src/io/files/files.ts";
import { adapterFiles, loadAdapter } from "../../src/load/adapter.ts";
import { readPeftAdapter } from "../../src/load/lora-files.ts";
import { mergedFiles } from "../../src/load/merge.ts";
import { openModel, openTaskModel } from "../../src/load/model.ts";
import { originalWeights } from "../../src/load/original-weights.ts";
import { isLinear, type Linear } from "../../src/nn/linear.ts";
import { isLeaf, modules } from "../../src/nn/module.ts";
import type { LayerReplication } from "../../src/nn/replicate.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { generateTokens } from "../../src/train/generate.ts";
import { planFiles } from "../../src/train/plan/plan-training.ts";
import { contextOf } from "../support/context.ts";
import { testDevice } from "../support/device.ts";
import { fixturePath, openTestModel, readJsonFile } from "../support/fixtures.ts";
import { wholeFiles } from "../support/merged-cases.ts";

const BASE = fixturePath("llama-gqa");
const ADAPTER = folderFiles(fixturePath("methods/lora-replicated"));
const REPLICATION: LayerReplication = [
  [0, 2],
  [0, 1],
];
const openReplicated = () => openTestModel(BASE, { layerReplication: REPLICATION });

const golden = readJsonFile<{
  bert: { input_ids: number[]; logits: number[] };
  llama: { input_ids: number[]; written: number[]; layers: number; merged_is_wrong_by: number };
  finds: Record<string, boolean>;
}>(fixturePath("replication"), "golden.json");

test("copies have paths by their new numbers, and the very tensors of the layer that they repeat", async () => {
  const model = await openReplicated();
  const leaves = new Map([...modules(model.root)].filter(isLeaf).map((leaf) => [leaf.path, leaf]));
  const paths = [...leaves.keys()].filter((path) => path.startsWith("model.layers.0."));
  expect(paths.length).toBeGreaterThan(8);
  for (const path of paths) {
    const [first, second, third] = [0, 1, 2].map((i) => leaves.get(path.replace(".0.", `.${i}.`)));
    for (const [name, tensor] of Object.entries(first?.tensors ?? {})) {
      expect(third?.tensors[name], path).toBe(tensor);
      expect(second?.tensors[name], path).not.toBe(tensor);
    }
  }
  expect(model.config.numLayers).toBe(golden.llama.layers);
});

test("what it writes with a cache is what PEFT's does", async () => {
  const model = await openReplicated();
  await loadAdapter(model, ADAPTER);
  const written: number[] = [];
  for await (const id of generateTokens(model, golden.llama.input_ids, { maxNewTokens: 12, temperature: 0 }))
    written.push(id);
  expect(written).toEqual(golden.llama.written);
  expect(golden.llama.merged_is_wrong_by).toBeGreaterThan(0.1); // so that ours is not PEFT's
});

test("BERT's scores with an adapter of PEFT's are PEFT's, and so is the file", async () => {
  const files = folderFiles(fixturePath("tasks/bert-sequence"));
  const layerReplication: LayerReplication = [
    [1, 2],
    [0, 2],
  ];
  const model = await openTaskModel(files, await testDevice(), {
    task: "sequence-classification",
    layerReplication,
  });
  const adapter = await loadAdapter(model, folderFiles(fixturePath("replication/bert")));
  const { input_ids, logits } = golden.bert;
  const ids = fromArray(model.device, Uint32Array.from(input_ids), [1, input_ids.length]);
  expect(await model.logits(ids, contextOf(ids)).read()).toBeClose(logits, 1e-5);
  const config = JSON.parse(String((await adapterFiles(adapter)).get("adapter_config.json")));
  expect(config.layer_replication).toEqual(layerReplication);
});

test("layers are found in the classes in which PEFT finds them, and in no others", async () => {
  const device = await testDevice();
  for (const [folder, finds] of Object.entries(golden.finds)) {
    const files = folderFiles(fixturePath(folder));
    const task = folder.endsWith("embedding") ? ("sentence-embedding" as const) : undefined;
    const layerReplication: LayerReplication = [
      [0, 1],
      [0, 1],
    ];
    const opening = openTaskModel(files, device, { ...(task && { task }), layerReplication });
    if (finds) expect((await opening).config.numLayers, folder).toBe(2);
    else await expect(opening, folder).rejects.toThrow("has no list of layers that PEFT would find");
  }
});

test("layers that are not there, ill-formed ranges and layers of several kinds are refused", async () => {
  const device = await testDevice();
  const open = (folder: string, layerReplication: unknown) =>
    openTaskModel(folderFiles(fixturePath(folder)), device, { layerReplication } as object);
  await expect(open("llama-gqa", [[0, 3]])).rejects.toThrow(
    "layer_replication: has [0,3], and the model has 2 layers",
  );
  await expect(open("llama-gqa", [[1, 1]])).rejects.toThrow("wanted a list of ranges of layers");
  await expect(open("llama-gqa", [])).rejects.toThrow("wanted a list of ranges of layers");
  await expect(open("tasks/gemma3-sequence", [[0, 1]])).rejects.toThrow("of several kinds");
});

test("adapter and model have to agree on the layers", async () => {
  const plain = await openTestModel(BASE);
  await expect(loadAdapter(plain, ADAPTER)).rejects.toThrow(
    /layer_replication is \[\[0,2\],\[0,1\]\], and that of the model none[\s\S]*load the model with layerReplication: \[\[0,2\],\[0,1\]\]/,
  );
  const model = await openReplicated();
  await expect(loadAdapter(model, folderFiles(fixturePath("methods/lora")))).rejects.toThrow(
    "layer_replication is none, and that of the model [[0,2],[0,1]]",
  );
});

test("what copies would share, and what has no place for the ranges, is refused", async () => {
  const model = await openReplicated();
  expect(() => attach(model, ia3())).toThrow("a file of IA3 could not say so");
  expect(() => attach(model, lora({ bias: "all" }))).toThrow("copies share their biases");
  const layer = [...modules(model.root)].find(isLinear) as Linear;
  await expect(originalWeights(model)(layer)).rejects.toThrow("a start from the stored weights is not known");
  await expect(readPeftAdapter(ADAPTER)).rejects.toThrow("a base whose layers are stacked anew");
});

test("merged, each layer is one of its own, of the kind that its config lists", async () => {
  const files = folderFiles(fixturePath("tasks/qwen3-embedding"));
  const task = "sentence-embedding";
  const model = await openTaskModel(files, await testDevice(), { task, layerReplication: REPLICATION });
  const adapter = attach(
    model,
    lora({ r: 2, initWeights: "orthogonal", targetModules: ["v_proj", "up_proj"] }),
  );
  const merged = await wholeFiles(await mergedFiles(model, adapter, files));
  const config = JSON.parse(new TextDecoder().decode(merged.get("config.json")));
  expect(config).toMatchObject({ num_hidden_layers: 3, layer_types: Array(3).fill("full_attention") });
  const whole = await openTaskModel(memoryFiles("merged", merged), model.device, { task });
  const ids = fromArray(model.device, Uint32Array.from([5, 9, 2, 6]), [1, 4]);
  expect(whole.layerReplication).toBeUndefined();
  expect(await whole.embed(ids, contextOf(ids)).read()).toBeClose(
    await model.embed(ids, contextOf(ids)).read(),
    1e-5,
  );
});

test("a plan counts the weights once, and an adapter for each copy", async () => {
  const files = folderFiles(BASE);
  const method = lora({ r: 2 });
  const one = await planFiles(files, { method, search: false });
  const two = await planFiles(files, { method, search: false, layerReplication: [...REPLICATION, [1, 2]] });
  expect(two.parameters).toBe(one.parameters);
  const [before, after] = [one, two].map(({ use }) => use.rows.find(({ what }) => what === "base")?.bytes);
  expect(before).toBeGreaterThan(10_000);
  expect(after).toBe(before);
  expect(two.trainable).toBe(2 * one.trainable);
});

test("openModel takes it, too", async () => {
  const model = await openModel(folderFiles(BASE), await testDevice(), { layerReplication: [[1, 2]] });
  expect([model.config.numLayers, model.layerReplication]).toEqual([1, [[1, 2]]]);
});
