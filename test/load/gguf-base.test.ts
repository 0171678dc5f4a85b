import { describe, expect, test } from "vitest";
import { CASES } from "../../scripts/llama-cpp/cases.ts";
import { randomCheckpoint, stir } from "../../scripts/llama-cpp/random-checkpoint.ts";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { fromArray } from "../../src/gpu/tensor.ts";
import { type FileSource, memoryFiles } from "../../src/io/files/files.ts";
import { type TensorEntry, writeSafetensors } from "../../src/io/formats/safetensors-writer.ts";
import { castToFloat } from "../../src/kernels/cast.ts";
import { QuantisedWeight, type Weight } from "../../src/kernels/weight.ts";
import { adapterFiles } from "../../src/load/adapter.ts";
import { ggufModel } from "../../src/load/gguf-model.ts";
import { mergedFiles } from "../../src/load/merge.ts";
import { type Model, openModel } from "../../src/load/model.ts";
import { placeTokens, wholeRows } from "../../src/nn/geometry.ts";
import { isLinear } from "../../src/nn/linear.ts";
import { isLeaf, modules } from "../../src/nn/module.ts";
import { trainSequences } from "../../src/train/trainer.ts";
import { filesOf } from "../io/helpers.ts";
import { relativeNormError } from "../support/compare.ts";
import { testDevice } from "../support/device.ts";
import { exportGguf, GGUF_NAME, ggufSource } from "../support/gguf-models.ts";
import { wholeFiles } from "../support/merged-cases.ts";
import { MIXED, requantiseFile } from "../support/requantise-file.ts";

const device = await testDevice();
const TEXTS = [
  "the sand and the ring",
  " Then in\n\nanother land: 42 things, it's 3.50!  ",
  "tea\tand  naïve 🙂 日本",
];

function scores(model: Model, ids: readonly number[]): Promise<Float32Array> {
  const input = fromArray(device, Uint32Array.from(ids), [1, ids.length]);
  const geometry = placeTokens(device, wholeRows(1, ids.length));
  return model
    .logits(model.hidden(input, { training: false, seed: 0, geometry }))
    .read() as Promise<Float32Array>;
}

const IDS = Array.from({ length: 40 }, (_, i) => (i * 37 + 5) % 300);

async function opened(files: FileSource): Promise<Model> {
  return openModel(files, device, {
    onWarning: (warning) => {
      throw new Error(warning);
    },
  });
}

describe("a GGUF file is the model that it was made of", () => {
  test.each(CASES.map((each) => [each.name, each] as const))("%s", async (_, each) => {
    const files = randomCheckpoint(device, each);
    const own = await openModel(files, device);
    const gguf = await opened(await ggufSource(await exportGguf(device, files)));
    expect(await scores(gguf, IDS)).toBeClose(await scores(own, IDS), 1e-5);
    for (const text of TEXTS) {
      const ids = own.tokenizer?.encode(text) ?? [];
      expect(gguf.tokenizer?.encode(text)).toEqual(ids);
      expect(gguf.tokenizer?.decode(ids)).toBe(own.tokenizer?.decode(ids));
    }
    expect(gguf.tokenizer?.stopTokenIds[0]).toBe(own.tokenizer?.eosTokenId);
    expect(gguf.chatTemplates.get("default")?.source).toBe(own.chatTemplates.get("default")?.source);
    own.release();
    gguf.release();
  });
});

/** A small Llama whose rows are whole blocks of k-quants, queries and keys in llama.cpp's order; and its file in a mix of types. */
async function quantisedLlama() {
  const [, llama3] = CASES;
  if (!llama3) throw new Error("no case");
  const sizes = { hidden_size: 256, intermediate_size: 256, head_dim: 64, num_hidden_layers: 2 };
  const files = randomCheckpoint(device, { ...llama3, config: { ...llama3.config, ...sizes } });
  const whole = filesOf({ [GGUF_NAME]: await exportGguf(device, files) });
  const mixed = await requantiseFile(whole, GGUF_NAME, (name) =>
    /ffn_up/.test(name) ? "Q4_0" : MIXED(name),
  );
  return { files, source: await ggufSource(mixed) };
}

const { files: original, source } = await quantisedLlama();

/** Every tensor of a model as it computes with it, in F32. */
async function dequantised(model: Model, files: FileSource): Promise<FileSource> {
  const entries: TensorEntry[] = [];
  for (const module of modules(model.root)) {
    if (!isLeaf(module) || (isLinear(module) && module.tiedTo)) continue;
    for (const [name, tensor] of Object.entries(module.tensors)) {
      const values = await castToFloat(tensor).read();
      const data = new Uint8Array(Float32Array.from(values).buffer);
      entries.push({ name: `${module.path}.${name}`, dtype: "F32", shape: tensor.shape, data });
    }
  }
  const config = await files.read("config.json", 0, (await files.size("config.json")) ?? 0);
  return filesOf({ "config.json": config, "model.safetensors": writeSafetensors(entries, { format: "pt" }) });
}

describe("a base of quantised types", () => {
  test("has nearly the values that were quantised, each in its place", async () => {
    const [own, gguf] = [await openModel(original, device), await opened(source)];
    const formats = new Set<string>();
    const weights = new Map(
      [...modules(own.root)].filter(isLinear).map((each) => [each.path, each.tensors.weight]),
    );
    for (const { path, tensors } of [...modules(gguf.root)].filter(isLinear)) {
      const { weight } = tensors;
      formats.add(weight.format);
      expect(weight).toBeInstanceOf(QuantisedWeight);
      const wanted = await castToFloat(weights.get(path) as Weight).read();
      expect(relativeNormError(await castToFloat(weight).read(), wanted), path).toBeLessThan(0.15);
    }
    expect(formats).toEqual(new Set(["int4", "int8"]));
    own.release();
    gguf.release();
  });

  test("gives the scores, and the losses of training, of the values that it stands for", async () => {
    const gguf = await opened(source);
    const plain = await openModel(await dequantised(gguf, source), device);
    expect(await scores(gguf, IDS)).toBeClose(await scores(plain, IDS), 1e-5);
    const losses = async (model: Model) => {
      const adapter = attach(model, lora({ r: 4, alpha: 8, targetModules: "all-linear" }), { seed: 5 });
      const sequences = [IDS, IDS.toReversed(), IDS.slice(7)].map((inputIds) => ({
        inputIds,
        labels: inputIds,
      }));
      const options = { batchSize: 2, maxSteps: 6, learningRate: 1e-2, shuffle: false };
      const found: number[] = [];
      for await (const { loss } of trainSequences(model, adapter.parameters, sequences, options))
        found.push(loss);
      const config = JSON.parse(String((await adapterFiles(adapter)).get("adapter_config.json")));
      adapter.release();
      return { found, config };
    };
    const [ours, wanted] = [await losses(gguf), await losses(plain)];
    expect(ours.found.at(-1)).toBeLessThan(0.9 * (ours.found[0] as number));
    for (const [i, loss] of wanted.found.entries())
      expect(Math.abs((ours.found[i] as number) - loss)).toBeLessThan(1e-4);
    expect(ours.config.base_model_name_or_path).toBe("folder/model.gguf");
    plain.release();
    gguf.release();
  });

  test("takes no merged change, but gives its values", async () => {
    const model = await opened(source);
    const adapter = attach(model, lora({ r: 2, targetModules: "all-linear" }));
    stir(adapter);
    await expect(mergedFiles(model, adapter, source)).rejects.toThrow(
      /quantised in its own files: 16 .*--dequantize/s,
    );
    await expect(ggufModel(model, adapter, source)).rejects.toThrow(/quantised in its own files/);
    const merged = memoryFiles(
      "merged",
      await wholeFiles(await mergedFiles(model, adapter, source, { dequantize: true })),
    );
    const plain = await openModel(merged, device);
    expect(relativeNormError(await scores(plain, IDS), await scores(model, IDS))).toBeLessThan(0.05); // rounded to BF16
    expect(plain.tokenizer?.encode("the land")).toEqual(model.tokenizer?.encode("the land"));
    plain.release();
    adapter.release();
    model.release();
  });
});
