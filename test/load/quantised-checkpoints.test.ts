import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { readAndRelease } from "../../src/gpu/tensor.ts";
import { type FileSource, memoryFiles } from "../../src/io/files/files.ts";
import { type CheckpointTensor, openCheckpoint } from "../../src/io/formats/checkpoint.ts";
import { fuseExperts, readingParts } from "../../src/io/formats/fused-experts.ts";
import { readQuantised } from "../../src/io/formats/quantised/read-quantised.ts";
import type { TensorEntry } from "../../src/io/formats/safetensors-writer.ts";
import { castToFloat } from "../../src/kernels/cast.ts";
import { QuantisedWeight } from "../../src/kernels/weight.ts";
import { loadAdapter } from "../../src/load/adapter.ts";
import { mergedFiles } from "../../src/load/merge.ts";
import { decode } from "../../src/load/merged-values.ts";
import { type Model, openModel } from "../../src/load/model.ts";
import { originalWeights } from "../../src/load/original-weights.ts";
import { isEmbedding } from "../../src/nn/embedding.ts";
import { isLinear, type Linear } from "../../src/nn/linear.ts";
import { modules } from "../../src/nn/module.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { languageModelling } from "../../src/train/language-modelling.ts";
import { Optimizer } from "../../src/train/optimizer.ts";
import { accumulateGradients } from "../../src/train/pass.ts";
import { transpose } from "../../src/util/transpose.ts";
import { type Edit, edited } from "../support/checkpoint-edits.ts";
import { relativeNormError } from "../support/compare.ts";
import {
  fixturePath,
  type Golden,
  goldenBatch,
  openTestModel,
  readJsonFile,
  readTensors,
} from "../support/fixtures.ts";
import { wholeFiles } from "../support/merged-cases.ts";
import { type TaskGolden, taskCase } from "../support/task-fixtures.ts";

const FOLDER = fixturePath("quantised");
const golden = readJsonFile<Golden & TaskGolden>(FOLDER, "golden.json");
const formats = readdirSync(FOLDER, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name !== "adapter")
  .map(({ name }) => name);

const worst = (got: ArrayLike<number>, want: ArrayLike<number>) =>
  Math.max(...Array.from(want, (value, i) => Math.abs((got[i] as number) - value)));

/** Pipelines of a format take seconds to compile on a rasteriser: of the others the values are looked at. */
const WHOLE = process.env.QUANTISED_WHOLE ? formats : ["bnb-nf4-nested", "bnb-int8"];

// Oracle: PyTorch, transformers and PEFT with the values that the codes stand for (test/fixtures/make_quantised_checkpoints.py).
describe.each(formats)("%s", (name) => {
  const folder = `${FOLDER}/${name}`;

  test("values", async () => {
    const tensors = await readTensors(folder, "golden.safetensors");
    const model = await openTestModel(folder);
    for (const module of modules(model.root)) {
      const want = tensors.get(`values.${module.path}`);
      if (!want || !(isLinear(module) || isEmbedding(module))) continue;
      const { weight } = module.tensors;
      expect(weight instanceof QuantisedWeight, module.path).toBe(!name.endsWith("-order"));
      const [buffer] = await readAndRelease(model.device, () => [castToFloat(weight)]);
      const values = new Float32Array(buffer as ArrayBuffer);
      const step = Math.max(1, Math.floor(values.length / want.length));
      const sampled = Float32Array.from(want, (_, i) => values[i * step] as number);
      expect(relativeNormError(sampled, want), module.path).toBeLessThan(1e-6);
      tensors.delete(`values.${module.path}`);
    }
    expect([...tensors.keys()].filter((key) => key.startsWith("values."))).toEqual([]);
    model.release();
  });
});

describe.each(WHOLE)("%s", (name) => {
  const folder = `${FOLDER}/${name}`;

  test("scores with PEFT's adapter, gradients of A and B", async () => {
    const tensors = await readTensors(folder, "golden.safetensors");
    const model = await openTestModel(folder);
    const adapter = await loadAdapter(model, folderFiles(`${FOLDER}/adapter`));
    const logits = await taskCase(model, golden, tensors).logits();
    expect(worst(logits, tensors.get("adapter_logits") as Float32Array)).toBeLessThan(1e-4);
    const optimizer = new Optimizer(adapter.parameters);
    const batches = [goldenBatch(golden)];
    const pass = { seed: 0, checkpoint: false };
    accumulateGradients(languageModelling(model), adapter.parameters, optimizer.gradients, batches, pass);
    for (const { name, tensor } of adapter.parameters.entries) {
      const want = tensors.get(`grad.base_model.model.${name}.weight`);
      const got = (await optimizer.gradients.get(tensor)?.read()) ?? [];
      const ofMean = [...got].map((value) => value / golden.label_tokens);
      expect(relativeNormError(ofMean, want ?? []), name).toBeLessThan(1e-4);
    }
    optimizer.release();
    adapter.release();
    model.release();
  });
});

test("merging is refused, or writes the values in the number format that the config names", async () => {
  const files = folderFiles(`${FOLDER}/bnb-nf4`);
  const model = await openTestModel(`${FOLDER}/bnb-nf4`);
  const adapter = await loadAdapter(model, folderFiles(`${FOLDER}/adapter`));
  await expect(mergedFiles(model, adapter, files)).rejects.toThrow(
    /quantised in its own files: 7 .*dequantize/s,
  );
  const whole = await wholeFiles(await mergedFiles(model, adapter, files, { dequantize: true }));
  const merged = memoryFiles("merged", whole);
  const { tensors, config } = await openCheckpoint(merged);
  expect(config).not.toHaveProperty("quantization_config");
  expect(
    [...tensors.keys()].filter((name) => !/(?:proj|norm|layernorm|embed_tokens|lm_head)\.weight$/.test(name)),
  ).toEqual([]);
  expect(new Set([...tensors.values()].map(({ dtype }) => dtype))).toEqual(new Set(["BF16"]));
  const want = (await readTensors(`${FOLDER}/bnb-nf4`, "golden.safetensors")).get(
    "adapter_logits",
  ) as Float32Array;
  const plain = await openModel(merged, model.device);
  const logits = await taskCase(plain, golden, new Map()).logits();
  expect(relativeNormError(logits, want)).toBeLessThan(0.01); // rounded to bf16
  plain.release();
  model.release();
});

test("LoftQ has nothing to begin with", async () => {
  const model = await openTestModel(`${FOLDER}/bnb-nf4`);
  const layer = [...modules(model.root)].find(isLinear) as Linear;
  await expect(originalWeights(model)(layer)).rejects.toThrow(
    /q_proj\.weight is quantised in the checkpoint itself \(nf4\)/,
  );
  model.release();
});

/** The f16 scales of a fixture as f32, and its layers as those of one expert. */
const expertInF32: Edit = ({ tensors, config }) => ({
  config,
  tensors: tensors.map((tensor): TensorEntry => {
    const name = tensor.name.replace(".mlp.", ".mlp.experts.0.");
    if (!name.endsWith(".scales")) return { ...tensor, name };
    return { ...tensor, name, dtype: "F32", data: new Uint8Array(decode(tensor.data, tensor).buffer) };
  }),
});

test("groups that lie apart: a warning names the number format, and experts are read as one matrix", async () => {
  const opened = async (files: FileSource) => readQuantised(await openCheckpoint(files));
  const half = await opened(folderFiles(`${FOLDER}/gptq-int4-order`));
  expect(half.warnings.join()).toMatch(/7 of 7 quantised matrices .* scales \(F16\).*--quantization/);
  const float = await opened(await edited("quantised/gptq-int4-order", expertInF32));
  expect(float.warnings.join()).toMatch(/ scales \(F32\)/);
  const layer = "model.layers.0.mlp";
  const fused = fuseExperts(float.tensors).get(`${layer}.experts.gate_up_proj`) as CheckpointTensor;
  expect(fused.shape).toEqual([1, 256, 64]);
  const bytes = await readingParts(float.read)(fused);
  const want = ["gate_proj", "up_proj"].map(async (name) => {
    const tensor = half.tensors.get(`${layer}.${name}.weight`) as CheckpointTensor;
    return [...decode(await half.read(tensor), tensor)];
  });
  expect(relativeNormError(decode(bytes, fused), (await Promise.all(want)).flat())).toBeLessThan(1e-3); // f16's rounding
});

/** The matrices of GPT-2's layers, which lie as `[in, out]`, in bitsandbytes' int8: as `[out, in]`, as transformers saves them. */
const inInt8: Edit = ({ tensors, config }) => ({
  config: { ...config, quantization_config: { quant_method: "bitsandbytes", load_in_8bit: true } },
  tensors: tensors.flatMap((tensor): TensorEntry[] => {
    const [columns = 0, rows = 0] = tensor.shape;
    if (!/\.c_\w+\.weight$/.test(tensor.name)) return [tensor];
    const values = transpose(decode(tensor.data, tensor), columns, rows);
    const largest = Float32Array.from({ length: rows }, (_, row) =>
      Math.max(...values.subarray(row * columns, (row + 1) * columns).map(Math.abs)),
    );
    const codes = Int8Array.from(values, (x, i) =>
      Math.round((x * 127) / (largest[Math.floor(i / columns)] as number)),
    );
    const path = tensor.name.replace(/\.weight$/, "");
    return [
      { name: tensor.name, dtype: "I8", shape: [rows, columns], data: new Uint8Array(codes.buffer) },
      { name: `${path}.SCB`, dtype: "F32", shape: [rows], data: new Uint8Array(largest.buffer) },
    ];
  }),
});

test("GPT-2, whose matrices lie the other way round where they are not quantised", async () => {
  const files = await edited("tasks/gpt2", inInt8);
  const plain = await openTestModel(fixturePath("tasks/gpt2"));
  const model = await openModel(files, plain.device);
  const layers = ({ root }: Model) => [...modules(root)].filter(isLinear).filter(({ isOutput }) => !isOutput);
  for (const [i, { weight, fanInFanOut }] of layers(model).entries()) {
    expect(fanInFanOut).toBe(true);
    expect(weight).toBeInstanceOf(QuantisedWeight);
    const want = await castToFloat((layers(plain)[i] as Linear).weight).read();
    expect(relativeNormError(await castToFloat(weight).read(), want)).toBeLessThan(0.02);
  }
  const adapter = attach(model, lora({ r: 1, targetModules: ["c_attn"] }));
  const whole = await wholeFiles(await mergedFiles(model, adapter, files, { dequantize: true }));
  const { tensors } = await openCheckpoint(memoryFiles("merged", whole));
  const { tensors: before } = await openCheckpoint(folderFiles(fixturePath("tasks/gpt2")));
  const shapes = (stored: typeof tensors) =>
    [...stored.values()].map(({ name, shape }) => [name, shape]).sort();
  expect(shapes(tensors)).toEqual(shapes(before));
  plain.release();
  model.release();
});
