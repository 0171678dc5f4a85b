import { describe, expect, test } from "vitest";
import { type Adapter, attach } from "../../src/adapters/adapter.ts";
import { startLora } from "../../src/adapters/lora/initial/start-lora.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { readAndRelease } from "../../src/gpu/tensor.ts";
import { castToFloat } from "../../src/kernels/cast.ts";
import { weightBytes } from "../../src/kernels/weight.ts";
import { loadAdapter } from "../../src/load/adapter.ts";
import { mergedFiles } from "../../src/load/merge.ts";
import { type Model, openModel } from "../../src/load/model.ts";
import { originalWeights } from "../../src/load/original-weights.ts";
import { QUANTIZATIONS, type Quantization, quantisation } from "../../src/load/quantization.ts";
import { isLinear } from "../../src/nn/linear.ts";
import { modules } from "../../src/nn/module.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { languageModelling } from "../../src/train/language-modelling.ts";
import { evaluateBatch } from "../../src/train/pass.ts";
import { trainSequences } from "../../src/train/trainer.ts";
import { quantiseReference } from "../reference/quantise.ts";
import { testDevice } from "../support/device.ts";
import {
  fixturePath,
  type Golden,
  goldenBatch,
  goldenSequences,
  readJsonFile,
  readTensors,
} from "../support/fixtures.ts";

const FOLDER = fixturePath("llama-gqa");

async function open(quantization: Quantization | (typeof QUANTIZATIONS)[number], name = "llama-gqa") {
  return openModel(folderFiles(fixturePath(name)), await testDevice(), { quantization });
}

interface Steps {
  readonly loss: readonly number[];
  readonly grad_norm: readonly number[];
}

interface Qlora extends Steps {
  readonly base_loss: number;
}

// Oracle: PyTorch + PEFT on the dequantised matrices (test/fixtures/make_quantised.py).
describe.each(["nf4", "int4", "int8"] as const)("a base in %s", (format) => {
  const golden = readJsonFile<Golden>(FOLDER, "golden.json");
  const { qlora } = readJsonFile<{ qlora: Record<typeof format, Qlora> }>(fixturePath(""), "quantised.json");
  const want = qlora[format];

  test("loss, and the losses of 20 steps, are PEFT's", async () => {
    const model = await open(format === "nf4" ? { format, doubleQuantization: true } : format);
    const base = await evaluateBatch(languageModelling(model), goldenBatch(golden)).read();
    expect(Math.abs((base[0] as number) / golden.label_tokens - want.base_loss)).toBeLessThan(1e-5);
    const adapter = await loadAdapter(model, folderFiles(`${FOLDER}/adapter`));
    await expectSteps(model, adapter, golden, want);
    adapter.release();
    model.release();
  });
});

/** Twenty steps as make_quantised.py takes them. */
async function expectSteps(model: Model, adapter: Adapter, golden: Golden, want: Steps): Promise<void> {
  const options = {
    ...{ batchSize: 3, maxSteps: want.loss.length, learningRate: 5e-3, shuffle: false },
    ...{ schedule: "linear" as const, warmupSteps: 3, weightDecay: 0.01, maxGradNorm: 1 },
  };
  const [losses, norms]: number[][] = [[], []];
  for await (const step of trainSequences(model, adapter.parameters, goldenSequences(golden), options)) {
    losses?.push(step.loss);
    norms?.push(step.gradNorm);
  }
  const worst = (got: readonly number[] = [], wanted: readonly number[]) =>
    Math.max(...wanted.map((value, i) => Math.abs((got[i] as number) - value)));
  expect(worst(losses, want.loss)).toBeLessThan(1e-4);
  expect(worst(norms, want.grad_norm)).toBeLessThan(1e-3);
}

// Oracle: PEFT's own LoftQ on the unquantised model; here the base is in nf4 already.
test.each([1, 5] as const)(
  "LoftQ on top of nf4, %d rounds: the losses of 20 steps are PEFT's",
  async (rounds) => {
    const golden = readJsonFile<Golden>(FOLDER, "golden.json");
    const { loftq } = readJsonFile<{ loftq: Record<1 | 5, Steps> }>(fixturePath(""), "quantised.json");
    const model = await open("nf4");
    const method = lora({
      ...{ r: 4, alpha: 4, targetModules: "all-linear" },
      ...{ initWeights: "loftq", loftqIterations: rounds },
    });
    const started = await startLora(model, method, { original: originalWeights(model) });
    const adapter = attach(model, started);
    await expectSteps(model, adapter, golden, loftq[rounds]);
    adapter.release();
    model.release();
  },
);

test("linear layers are quantised, their biases, the embedding and the output layer are not", async () => {
  const before = (await testDevice()).memory.stats.used;
  const model = await open("int8");
  const stored = await readTensors(FOLDER, "model.safetensors");
  for (const linear of [...modules(model.root)].filter(isLinear).filter(({ isOutput }) => !isOutput)) {
    const values = Float32Array.from(stored.get(`${linear.path}.weight`) as ArrayLike<number>);
    expect(linear.weight.format).toBe("int8");
    const [got] = await readAndRelease(model.device, () => [castToFloat(linear.weight)]);
    const wanted = quantiseReference(values, { format: "int8", block: 128 });
    expect(new Float32Array(got!)).toBeClose(wanted, 1e-6);
    const scales = 4 * Math.ceil(values.length / 128);
    expect(weightBytes(linear.weight)).toBe(values.length + scales);
  }
  expect(model.head.weight.format).toBe("f32");
  model.release();
  expect((await testDevice()).memory.stats.used).toBe(before);
});

test.each(QUANTIZATIONS)("a checkpoint in bf16 and shards, all of it in %s", async (format) => {
  const model = await open({ format, skipModules: [] }, "llama-tied");
  const formats = [...modules(model.root)]
    .filter(isLinear)
    .filter(({ isOutput }) => !isOutput)
    .map(({ weight }) => weight.format);
  expect(new Set([...formats, model.head.weight.format])).toEqual(new Set([format]));
  const golden = readJsonFile<Golden>(fixturePath("llama-tied"), "golden.json");
  const loss = await evaluateBatch(languageModelling(model), goldenBatch(golden)).read();
  const difference = Math.abs((loss[0] as number) / golden.label_tokens - golden.base_loss);
  expect(difference).toBeLessThan(format.includes("8") ? 0.15 : 1.5);
  expect(difference).toBeGreaterThan(0);
  model.release();
});

test("GPT-2, whose matrices lie the other way round", async () => {
  const [plain, model] = [
    await openModel(folderFiles(fixturePath("tasks/gpt2")), await testDevice()),
    await open("int8", "tasks/gpt2"),
  ];
  const own = [...modules(plain.root)].filter(isLinear).filter(({ isOutput }) => !isOutput);
  for (const [i, { weight, fanInFanOut }] of [...modules(model.root)]
    .filter(isLinear)
    .filter(({ isOutput }) => !isOutput)
    .entries()) {
    expect(fanInFanOut).toBe(true);
    const values = await castToFloat(own[i]!.weight).read();
    const wanted = quantiseReference(values, { format: "int8", block: 128 });
    expect(await castToFloat(weight).read()).toBeClose(wanted, 1e-6);
  }
  model.release();
  plain.release();
});

test("modules that stay as they are, blocks of rows", () => {
  const choose = quantisation({ format: "int8", block: "row", skipModules: ["lm_head", "mlp.gate_proj"] });
  const linear = { linear: true };
  expect(choose?.("model.layers.0.mlp.gate_proj.weight", linear, 36)).toBeUndefined();
  expect(choose?.("lm_head.weight", {}, 36)).toBeUndefined();
  expect(choose?.("model.layers.0.mlp.up_proj.weight", linear, 36)?.name).toBe("int8/36/f32");
  expect(choose?.("model.embed_tokens.weight", {}, 36)?.name).toBe("int8/36/f32");
  expect(choose?.("score.weight", { linear: true, fresh: true }, 36)).toBeUndefined();
  expect(quantisation("nf4")?.("lm_head.weight", {}, 36)).toBeUndefined();
  expect(quantisation("nf4")?.("q_proj.weight", linear, 36)?.name).toBe("nf4/64/f32");
  const nested = quantisation({ format: "nf4", doubleQuantization: true });
  expect(nested?.("q_proj.weight", linear, 36)?.name).toBe("nf4/64/nested");
});

test.each<[Quantization, string]>([
  [{ format: "int3" as never }, 'format is "int3", wanted'],
  [{ format: "nf4", block: 30 }, "block is 30"],
  [{ format: "mxfp4", block: 64 }, "mxfp4 has blocks of 32"],
  [{ format: "int8", doubleQuantization: true }, "doubleQuantization means nothing to int8"],
  [{ format: "nf4", zeroPoints: true }, "zeroPoints means nothing to nf4"],
])("%o is refused", (given, message) => {
  expect(() => quantisation(given)).toThrow(message);
});

test("merging into a quantised base is refused, unless its matrices may be written as they are read", async () => {
  const files = folderFiles(FOLDER);
  const model = await open("int8");
  const adapter = await loadAdapter(model, folderFiles(`${FOLDER}/adapter`));
  await expect(mergedFiles(model, adapter, files)).rejects.toThrow(/quantised.*dequantize/s);
  const merged = await mergedFiles(model, adapter, files, { dequantize: true });
  expect([...merged.keys()]).toContain("model.safetensors");
  model.release();
});
