import { describe, expect, test } from "vitest";
import { type Adapter, attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { fromArray, scoped } from "../../src/gpu/tensor.ts";
import { memoryFiles } from "../../src/io/files/files.ts";
import { adapterFiles, loadAdapter } from "../../src/load/adapter.ts";
import { mergedFiles } from "../../src/load/merge.ts";
import { type Model, openModel } from "../../src/load/model.ts";
import { readParameters } from "../../src/nn/parameters.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { languageModelling } from "../../src/train/language-modelling.ts";
import { Optimizer } from "../../src/train/optimizer.ts";
import { accumulateGradients } from "../../src/train/pass.ts";
import { trainSequences } from "../../src/train/trainer.ts";
import { float32View } from "../../src/util/bytes.ts";
import { encodeBf16, encodeF16 } from "../../src/util/half.ts";
import { createRandom } from "../../src/util/random.ts";
import { type AdapterEdit, editedAdapter } from "../support/adapters.ts";
import { contextOf } from "../support/context.ts";
import { testDevice } from "../support/device.ts";
import { fixturePath, openTestModel } from "../support/fixtures.ts";
import { collate } from "../support/layouts.ts";
import { wholeFiles } from "../support/merged-cases.ts";

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
    const again = await adapterFiles(await load());
    expect(again.get("adapter_config.json")).toContain(`"bias": "${bias}"`);
    expect(again.get("adapter_model.safetensors")).toEqual(files.get("adapter_model.safetensors"));
    const { load: biased } = await loaded({ config: { bias } }, "llama-tied");
    await expect(biased()).rejects.toThrow(
      new RegExp(`bias is "${bias}", and the file lacks trained biases[\\s\\S]*set bias to "none"`),
    );
  });
});

test("a bias of lora_B is not merged where the layer has none, and does not go with DoRA or other starts", async () => {
  const model = await open();
  const adapter = attach(model, lora({ r: 2, loraBias: true, targetModules: ["q_proj"] }));
  await expect(mergedFiles(model, adapter, folderFiles(fixturePath("llama-gqa")))).rejects.toThrow(
    /layers.0.self_attn.q_proj has no bias that could take up[\s\S]*layers.1.self_attn.q_proj has no bias/,
  );
  expect(() => lora({ loraBias: true, useDora: true, initWeights: "gaussian" })).toThrow(
    /initWeights is "gaussian", and loraBias goes[\s\S]*loraBias and useDora do not go together/,
  );
});

test("biases that are trained are those of the adapted layers, or all; taken off, the model has its own", async () => {
  const model = await open("llama-tied");
  const names = (bias: "all" | "lora_only") => {
    const adapter = attach(model, lora({ r: 2, bias, targetModules: ["q_proj"] }));
    const saved = adapter.saved.map(({ module, tensors }) =>
      [module.path, ...Object.keys(tensors)].join(" "),
    );
    adapter.release();
    return saved;
  };
  expect(names("lora_only")).toEqual([0, 1].map((i) => `model.layers.${i}.self_attn.q_proj bias`));
  expect(names("all").length).toBe(14);
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
  const IDS = [5, 9, 13, 7, 2];
  const lastLogits = async (model: Model) => {
    const ids = fromArray(model.device, Uint32Array.from(IDS), [1, IDS.length]);
    return (await model.logits(model.hidden(ids, contextOf(ids))).read()).slice(-model.config.vocabSize);
  };
  const sequences = [{ inputIds: IDS, labels: IDS }];
  const fill = (adapter: Adapter) => {
    for (const { name, tensor } of adapter.parameters.entries) {
      const random = createRandom(4).fork(name);
      tensor.write(Float32Array.from({ length: tensor.size }, () => random.uniform() - 0.5));
    }
  };

  test("the weights of another base model are refused by name", async () => {
    const head = {
      "lm_head.lora_A.weight": [2, 32],
      "lm_head.lora_B.weight": [97, 2],
      "lm_head.base_layer.weight": [97, 32],
    };
    await expect((await loaded({ add: head })).load()).rejects.toThrow(
      "lm_head.weight of the base model lies beside the adapter",
    );
  });

  // The loss of a head with LoRA goes in chunks through the adapter; the same change as a matrix goes the fast way.
  test.each(["llama-gqa", "llama-tied"])(
    "LoRA on the output layer of %s learns as its merged matrix does",
    async (name) => {
      const model = await open(name);
      const low = attach(model, lora({ r: 3, targetModules: ["lm_head"] }));
      fill(low);
      const other = model.withAdapters([]);
      const whole = attach(other, lora({ targetModules: ["q_proj"], modulesToSave: ["lm_head"] }));
      const [site] = low.sites;
      const { weight } = low.method.merge!(site!, low.shared, {});
      whole.saved[0]!.tensors.weight!.write(await scoped(model.device, weight!).read());
      expect(await lastLogits(model)).toBeClose(await lastLogits(other), 1e-5);
      const gradient = async (adapted: Model, { parameters }: Adapter) => {
        const optimizer = new Optimizer(parameters);
        const batch = collate(sequences);
        const sum = accumulateGradients(
          languageModelling(adapted),
          parameters,
          optimizer.gradients,
          [batch],
          { seed: 0 },
        );
        const all = parameters.entries.map(
          async ({ name, tensor }) => [name, await optimizer.gradients.get(tensor)!.read()] as const,
        );
        return { loss: await sum.read(), gradients: new Map(await Promise.all(all)) };
      };
      const [a, b] = [await gradient(model, low), await gradient(other, whole)];
      expect(a.loss).toBeClose(b.loss, 1e-5);
      // dA = s · Bᵀ dW, dB = s · dW Aᵀ
      const dW = b.gradients.get("lm_head.weight")!;
      const { lora_A, lora_B } = site!.tensors;
      const [A, B, columns] = [await lora_A!.read(), await lora_B!.read(), lora_A!.columns];
      const [rows, r, s] = [lora_B!.rows, 3, low.method.scaleOf("lm_head")];
      const dA = new Float32Array(A.length);
      const dB = new Float32Array(B.length);
      for (let o = 0; o < rows; o++)
        for (let k = 0; k < r; k++)
          for (let i = 0; i < columns; i++) {
            dA[k * columns + i]! += s * B[o * r + k]! * dW[o * columns + i]!;
            dB[o * r + k]! += s * A[k * columns + i]! * dW[o * columns + i]!;
          }
      expect(a.gradients.get("lm_head.lora_A")!).toBeClose(dA, 1e-4);
      expect(a.gradients.get("lm_head.lora_B")!).toBeClose(dB, 1e-4);
    },
  );

  test.each(["llama-gqa", "llama-tied"])(
    "%s: what is trained of them is saved, loaded and merged",
    async (name) => {
      for (const options of [
        { targetModules: ["lm_head", "q_proj"] },
        { targetModules: ["q_proj"], modulesToSave: ["lm_head"] },
        { targetModules: ["q_proj"], modulesToSave: ["embed_tokens"] },
        { targetModules: ["q_proj"], modulesToSave: ["embed_tokens", "lm_head"] },
      ]) {
        const model = await open(name);
        const before = await lastLogits(model);
        const adapter = attach(model, lora({ r: 2, ...options }));
        for await (const _ of trainSequences(model, adapter.parameters, sequences, {
          maxSteps: 2,
          learningRate: 0.01,
        }));
        const after = await lastLogits(model);
        expect(after).not.toEqual(before);
        const again = await open(name);
        await loadAdapter(again, memoryFiles("again", await wholeFiles(await adapterFiles(adapter))));
        expect(await lastLogits(again)).toEqual(after);
        const merging = await mergedFiles(model, adapter, folderFiles(fixturePath(name)));
        const merged = await openModel(memoryFiles("merged", await wholeFiles(merging)), await testDevice());
        expect(await lastLogits(merged)).toBeClose(after, name === "llama-tied" ? 2e-2 : 1e-5); // its files are bf16
        expect(merged.tied).toBe(false);
      }
    },
  );
});
