import { describe, expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora.ts";
import { adapterFiles, loadAdapter } from "../../src/load/adapter.ts";
import { readParameters } from "../../src/nn/parameters.ts";
import { Optimizer } from "../../src/train/optimizer.ts";
import { float32View } from "../../src/util/bytes.ts";
import { encodeBf16, encodeF16 } from "../../src/util/half.ts";
import { type AdapterEdit, editedAdapter } from "../support/adapters.ts";
import { fixturePath, openTestModel } from "../support/fixtures.ts";

const open = (name = "llama-gqa") => openTestModel(fixturePath(name));

/** A fresh adapter of rank 2 on q_proj, saved, changed, and loaded again. */
async function loaded(edit: AdapterEdit, name?: string) {
  const files = await adapterFiles(attach(await open(name), lora({ r: 2, targetModules: ["q_proj"] })));
  return { files, load: async () => loadAdapter(await open(name), editedAdapter(files, edit)) };
}

describe("a variant of LoRA", () => {
  test("MiCA is applied, kept on saving, and not trained as if it were plain", async () => {
    const { load } = await loaded({ config: { init_lora_weights: "mica" } });
    const adapter = await load();
    expect(adapter.parameters.entries.length).toBe(4);
    expect((await adapterFiles(adapter)).get("adapter_config.json")).toContain('"init_lora_weights": "mica"');
    expect(() => new Optimizer(adapter.parameters)).toThrow(
      /init_lora_weights is "mica": MiCA trains lora_A alone[\s\S]*make init_lora_weights true/,
    );
  });

  test.each([true, false, "gaussian", "orthogonal"])(
    "init_lora_weights %s is trained on, and kept",
    async (init) => {
      const { load } = await loaded({ config: { init_lora_weights: init } });
      const adapter = await load();
      new Optimizer(adapter.parameters).release();
      const config = JSON.parse((await adapterFiles(adapter)).get("adapter_config.json") as string);
      expect(config.init_lora_weights).toBe(init);
    },
  );

  // PEFT 0.21 loads all four without a word; where there are biases, a file without them is not what was trained.
  test.each(["all", "lora_only"])("bias %s means nothing where there is no bias", async (bias) => {
    const { files, load } = await loaded({ config: { bias } });
    expect(await adapterFiles(await load())).toEqual(files);
    const { load: biased } = await loaded({ config: { bias } }, "llama-tied");
    await expect(biased()).rejects.toThrow(
      new RegExp(`bias is "${bias}": trained biases are not supported[\\s\\S]*set bias to "none"`),
    );
  });
});

describe("number types of an adapter", () => {
  const double = (values: Float32Array) => Float64Array.from(values, (value) => value * (1 + 1e-12));
  test.each([
    ["F64", double],
    ["BF16", encodeBf16],
    ["F16", encodeF16],
  ] as const)("%s is read", async (dtype, encode) => {
    const change: AdapterEdit["change"] = (entry) => {
      const coarse = float32View(entry.data as Uint8Array).map((value) => Math.round(value * 64) / 64);
      return { ...entry, dtype, data: new Uint8Array(encode(coarse).buffer) };
    };
    const { load } = await loaded({ change });
    for (const values of (await readParameters((await load()).parameters)).values())
      expect(values.every((value) => value === Math.round(value * 64) / 64)).toBe(true);
  });

  test.each(["I8", "F8_E4M3", "F8_E5M2"] as const)("%s is refused by name", async (dtype) => {
    const change: AdapterEdit["change"] = (entry) => ({
      ...{ ...entry, dtype },
      data: new Uint8Array((entry.data as Uint8Array).length / 4),
    });
    const { load } = await loaded({ change });
    await expect(load()).rejects.toThrow(`${dtype} in place of F32, F16, BF16, F64`);
  });
});

describe("the output layer and embeddings", () => {
  const UNSUPPORTED = /LoRA or training of the output layer and of embeddings is not supported yet/;

  test.each([
    ["lm_head", { "lm_head.lora_A.weight": [2, 32], "lm_head.lora_B.weight": [48, 2] }],
    ["lm_head, with its weights", { "lm_head.base_layer.weight": [48, 32] }],
    ["the embedding", { "model.embed_tokens.lora_embedding_A": [2, 48] }],
  ])("LoRA on %s is refused as such", async (_, add) => {
    const { load } = await loaded({ add: add as unknown as Record<string, number[]> });
    await expect(load()).rejects.toThrow(UNSUPPORTED);
    await expect(load()).rejects.toThrow("tie_word_embeddings = False");
  });

  test.each([["lm_head"], ["embed_tokens"]])("%s as one of modules_to_save, too", async (name) => {
    const path = name === "lm_head" ? name : `model.${name}`;
    const edit = { config: { modules_to_save: [name] }, add: { [`${path}.weight`]: [48, 32] } };
    const { load } = await loaded(edit);
    await expect(load()).rejects.toThrow(UNSUPPORTED);
    for (const model of ["llama-gqa", "llama-tied"]) {
      const base = await open(model);
      expect(() => attach(base, lora({ modulesToSave: [name] }))).toThrow(UNSUPPORTED);
      expect(() => attach(base, lora({ targetModules: ["q_proj", name] }))).toThrow(UNSUPPORTED);
      expect(() => attach(base, lora({ targetModules: `.*(q_proj|${name})` }))).toThrow(UNSUPPORTED);
    }
  });
});
