import { describe, expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { readAndRelease } from "../../src/gpu/tensor.ts";
import { memoryFiles } from "../../src/io/files/files.ts";
import { openCheckpoint } from "../../src/io/formats/checkpoint.ts";
import { castToFloat } from "../../src/kernels/cast.ts";
import { decodingOf } from "../../src/kernels/formats.ts";
import { requantised } from "../../src/kernels/requantise.ts";
import { partsOf, type QuantisedWeight } from "../../src/kernels/weight.ts";
import { mergedFiles, mergedTensors } from "../../src/load/merge.ts";
import { type LoadedModel, type OpenOptions, openModel } from "../../src/load/model.ts";
import { isLinear, type Linear } from "../../src/nn/linear.ts";
import { modules } from "../../src/nn/module.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { randomValues } from "../reference/gradient.ts";
import { testDevice } from "../support/device.ts";
import { fixturePath } from "../support/fixtures.ts";
import { wholeFiles } from "../support/merged-cases.ts";

const layers = (model: LoadedModel) =>
  [...modules(model.root)].filter(isLinear).filter(({ weight }) => weight.scales) as (Linear & {
    weight: QuantisedWeight;
  })[];

const bytesOf = (weight: QuantisedWeight) => readAndRelease(weight.device, () => partsOf(weight));

async function open(folder: string, options: OpenOptions = {}) {
  const files = folderFiles(fixturePath(folder));
  const model = await openModel(files, await testDevice(), options);
  const adapter = attach(model, lora({ r: 2, targetModules: ["q_proj", "down_proj"] }));
  const { flat } = adapter.parameters;
  flat.write(Float32Array.from(randomValues(flat.size, 7), (value) => 0.2 * value));
  return { files, model, adapter };
}

const PER_ROW: OpenOptions = { quantization: { format: "fp8_e4m3", block: "row" } };

describe.each<[string, string, OpenOptions]>([
  ["quantised while it was loaded", "llama-gqa", { quantization: "nf4" }],
  [
    "in bf16 and shards, with double quantisation",
    "llama-tied",
    { quantization: { format: "nf4", doubleQuantization: true } },
  ],
  ["quantised in its files", "quantised/bnb-fp4", {}],
  ["quantised in its files, with double quantisation", "quantised/bnb-nf4-nested", {}],
])("a base %s", (_, folder, options) => {
  test("merged: what the adapter changes is quantised anew, the rest stays to the bit", async () => {
    const { files, model, adapter } = await open(folder, options);
    const merged = memoryFiles(
      "merged",
      await wholeFiles(await mergedFiles(model, adapter, files, { requantize: true })),
    );
    const again = await openModel(merged, model.device);
    const sites = new Map(adapter.sites.map((site) => [site.module.path, site]));
    for (const [i, layer] of layers(again).entries()) {
      const own = layers(model)[i]!;
      expect([layer.path, layer.weight.decoding.name]).toEqual([own.path, own.weight.decoding.name]);
      const site = sites.get(layer.path);
      const compute = site && adapter.method.merge?.(site, adapter.shared, {}).weight;
      if (!compute) {
        expect(await bytesOf(layer.weight)).toEqual(await bytesOf(own.weight));
        continue;
      }
      const [values] = await readAndRelease(model.device, () => [compute()]);
      const wanted = await requantised(own.weight, new Float32Array(values!));
      expect(await bytesOf(layer.weight)).toEqual(await bytesOf(wanted));
      const [got, before] = [await castToFloat(layer.weight).read(), await castToFloat(own.weight).read()];
      expect(got).not.toEqual(before);
      for (const { storage } of partsOf(wanted)) model.device.memory.release(storage);
    }
    expect(layers(again).length).toBe(layers(model).length);
    for (const one of [again, model]) one.release();
  });
});

test("the files are transformers': names, types and shapes of bitsandbytes' tensors, and quantization_config", async () => {
  const { files, model, adapter } = await open("llama-tied", {
    quantization: { format: "nf4", doubleQuantization: true },
  });
  const whole = await wholeFiles(await mergedFiles(model, adapter, files, { requantize: true }));
  const { tensors, config, read } = await openCheckpoint(memoryFiles("merged", whole));
  const theirs = await openCheckpoint(folderFiles(fixturePath("quantised/bnb-nf4-nested")));
  const parts = (all: typeof tensors) =>
    [...all.values()]
      .filter(({ name }) => name.includes("layers.0.self_attn.q_proj.weight"))
      .map(({ name, dtype, shape }) => [name, dtype, shape.length])
      .sort();
  expect(parts(tensors)).toEqual(parts(theirs.tensors));
  const state = tensors.get("model.layers.0.self_attn.q_proj.weight.quant_state.bitsandbytes__nf4")!;
  const [rows, columns] = layers(model)[0]!.weight.shape;
  expect(JSON.parse(new TextDecoder().decode(await read(state)))).toEqual({
    ...{ quant_type: "nf4", blocksize: 64, dtype: "bfloat16", shape: [rows, columns] },
    ...{ nested_blocksize: 256, nested_dtype: "float32", nested_offset: expect.any(Number) },
  });
  expect(config.quantization_config).toMatchObject({
    ...{ quant_method: "bitsandbytes", load_in_4bit: true, bnb_4bit_quant_type: "nf4" },
    ...{ bnb_4bit_use_double_quant: true, llm_int8_skip_modules: ["lm_head"] },
  });
  model.release();
});

describe.each<[string, string, OpenOptions, string]>([
  ["int8", "llama-gqa", { quantization: "int8" }, "pack-quantized"],
  ["int4 with zero points", "llama-gqa", { quantization: "int4" }, "pack-quantized"],
  ["fp8_e4m3 with a scale for each row", "llama-gqa", PER_ROW, "float-quantized"],
  ["mxfp4", "quantised/mxfp4", {}, "mxfp4-pack-quantized"],
  ["int4 with bf16 scales, in its files", "quantised/ct-int4", {}, "pack-quantized"],
  ["int4 with zero points, in its files", "quantised/awq", {}, "pack-quantized"],
])("a base in %s", (_, folder, options, format) => {
  test("is written as compressed-tensors has it: what the adapter changes anew, the rest with the same values", async () => {
    const { files, model, adapter } = await open(folder, options);
    const whole = await wholeFiles(await mergedFiles(model, adapter, files, { requantize: true }));
    const merged = memoryFiles("merged", whole);
    const { config } = await openCheckpoint(merged);
    expect(config.quantization_config).toMatchObject({ quant_method: "compressed-tensors", format });
    const again = await openModel(merged, model.device);
    const sites = new Map(adapter.sites.map((site) => [site.module.path, site]));
    for (const [i, layer] of layers(again).entries()) {
      const own = layers(model)[i]!;
      const site = sites.get(layer.path);
      const compute = site && adapter.method.merge?.(site, adapter.shared, {}).weight;
      const got = await castToFloat(layer.weight).read();
      const before = await castToFloat(own.weight).read();
      if (!compute) {
        expect([layer.path, got]).toEqual([own.path, before]);
        continue;
      }
      const { format, block, zeros, scales } = own.weight.decoding;
      const [values] = await readAndRelease(model.device, () => [compute()]);
      const decoding = decodingOf(format, { block, zeros, scales: scales === "e8m0" ? scales : "f32" });
      const wanted = await requantised(own.weight, new Float32Array(values!), decoding);
      expect([layer.path, got]).toEqual([own.path, await castToFloat(wanted).read()]);
      expect(got).not.toEqual(before);
      for (const { storage } of partsOf(wanted)) model.device.memory.release(storage);
    }
    expect(layers(again).map(({ path }) => path)).toEqual(layers(model).map(({ path }) => path));
    for (const one of [again, model]) one.release();
  });
});

test("matrices with groups of several sizes have a scheme each in compressed-tensors' config", async () => {
  const { files, model, adapter } = await open("llama-gqa", { quantization: "int8" });
  const whole = await wholeFiles(await mergedFiles(model, adapter, files, { requantize: true }));
  const { config } = await openCheckpoint(memoryFiles("merged", whole));
  const { config_groups: groups, ignore } = config.quantization_config as {
    config_groups: Record<string, { targets: string[]; weights: { group_size?: number; strategy: string } }>;
    ignore: string[];
  };
  expect(Object.values(groups).map(({ weights }) => weights.group_size)).toEqual([undefined, 8]); // of rows of 32 and 56
  expect(Object.values(groups).flatMap(({ targets }) => targets).length).toBe(layers(model).length);
  expect(ignore).toEqual(["lm_head"]);
  model.release();
});

test.each<[string, OpenOptions, RegExp]>([
  [
    "llama-gqa",
    { quantization: "fp8_e5m2" },
    /q_proj\.weight is fp8_e5m2\S*, for which compressed-tensors has no place.*nf4 and fp4/s,
  ],
  [
    "llama-gqa",
    { quantization: "mxfp4" },
    /down_proj\.weight has rows of 56 values, which are no whole blocks/,
  ],
  ["quantised/mlx-4", {}, /offsets, for which compressed-tensors has no place/],
  ["llama-gqa", { quantization: { format: "nf4", block: 96 } }, /blocks of 96/],
  [
    "llama-gqa",
    { quantization: { format: "nf4", skipModules: [] } },
    /embed_tokens\.weight is no linear layer's/,
  ],
  ["llama-gqa", {}, /the base is not quantised/],
])("%s with %o is refused", async (folder, options, message) => {
  const { files, model, adapter } = await open(folder, options);
  await expect(mergedFiles(model, adapter, files, { requantize: true })).rejects.toThrow(message);
  const both = { requantize: true, dequantize: true };
  await expect(mergedFiles(model, adapter, files, both)).rejects.toThrow("both given");
  await expect(mergedTensors(model, adapter, files, { requantize: true })).rejects.toThrow(
    "safetensors alone",
  );
  model.release();
});
