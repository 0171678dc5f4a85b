import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { fromArray } from "../../src/gpu/tensor.ts";
import { adapterFiles, loadAdapter } from "../../src/load/adapter.ts";
import { readParameters } from "../../src/nn/parameters.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { generateTokens } from "../../src/train/generate.ts";
import { languageModelling } from "../../src/train/language-modelling.ts";
import { Optimizer } from "../../src/train/optimizer.ts";
import { accumulateGradients, evaluateBatch } from "../../src/train/pass.ts";
import { type StepMetrics, trainSequences } from "../../src/train/trainer.ts";
import { relativeNormError } from "../support/compare.ts";
import { contextOf } from "../support/context.ts";
import {
  fixturePath,
  type Golden,
  goldenBatch,
  goldenSequences,
  openTestModel,
  readJsonFile,
  readTensors,
} from "../support/fixtures.ts";

const families = readdirSync(fixturePath("families")).map((name) => `families/${name}`);

/** Largest difference of two lists. */
const worst = (got: ArrayLike<number>, want: ArrayLike<number>) =>
  Math.max(...Array.from(want, (value, i) => Math.abs((got[i] as number) - value)));

// Oracle: PyTorch + transformers 5.18 + PEFT 0.21 (test/fixtures/make.py).
describe.each(["llama-gqa", "llama-tied", ...families, "experts/gpt-oss-mxfp4"])("%s", (name) => {
  const folder = fixturePath(name);
  const golden = readJsonFile<Golden>(folder, "golden.json");
  const openAdapted = async () => {
    const model = await openTestModel(folder);
    return { model, adapter: await loadAdapter(model, folderFiles(`${folder}/adapter`)) };
  };

  test("logits with and without the adapter", async () => {
    const tensors = await readTensors(folder, "golden.safetensors");
    const { model, adapter } = await openAdapted();
    const { inputIds, batchSize, length } = goldenBatch(golden);
    const ids = fromArray(model.device, inputIds, [batchSize, length]);
    const logits = async () => {
      const all = await model.logits(model.hidden(ids, contextOf(ids, golden.lengths))).read();
      const V = model.config.vocabSize;
      return golden.lengths.flatMap((n, row) => [...all.subarray(row * length * V, (row * length + n) * V)]);
    };
    expect(worst(await logits(), tensors.get("adapter_logits")!)).toBeLessThan(1e-4);
    adapter.enable(false);
    expect(worst(await logits(), tensors.get("base_logits")!)).toBeLessThan(1e-4);
  });

  test.each([false, true])(
    "loss and the gradient of every lora_A and lora_B, checkpointing %s",
    async (checkpoint) => {
      const tensors = await readTensors(folder, "golden.safetensors");
      const { model, adapter } = await openAdapted();
      const optimizer = new Optimizer(adapter.parameters);
      const sum = accumulateGradients(
        languageModelling(model),
        adapter.parameters,
        optimizer.gradients,
        [goldenBatch(golden)],
        {
          seed: 0,
          checkpoint,
        },
      );
      const loss = ((await sum.read())[0] as number) / golden.label_tokens;
      expect(Math.abs(loss - (golden.loss_f64 ?? golden.loss))).toBeLessThan(1e-5);
      for (const { name, tensor } of adapter.parameters.entries) {
        const want = tensors.get(`grad.base_model.model.${name}.weight`);
        const got = await optimizer.gradients.get(tensor)!.read();
        const ofMean = got.map((value) => value / golden.label_tokens);
        expect(relativeNormError(ofMean, want!), name).toBeLessThan(1e-3);
      }
      optimizer.release();
    },
  );

  const { default_targets } = golden;
  if (default_targets)
    test("default targets are PEFT's", async () => {
      expect((await openTestModel(folder)).defaultTargets).toEqual(default_targets);
    });

  test("base loss", async () => {
    const { model, adapter } = await openAdapted();
    adapter.enable(false);
    const loss = await evaluateBatch(languageModelling(model), goldenBatch(golden)).read();
    expect(Math.abs(loss[0]! / golden.label_tokens - golden.base_loss)).toBeLessThan(1e-5);
  });

  const runs = Object.entries(golden.train).map(([run, want]) => ({ run, want, steps: want.loss.length }));
  test.each(runs)("$steps AdamW steps, run $run", async ({ run, want }) => {
    const { model, adapter } = await openAdapted();
    const metrics: StepMetrics[] = [];
    const options = {
      ...(run === "B" ? { batchSize: 1, gradientAccumulationSteps: 3 } : { batchSize: 3 }),
      maxSteps: want.loss.length,
      learningRate: want.peak_lr,
      schedule: want.schedule,
      warmupSteps: want.warmup_steps,
      weightDecay: want.weight_decay,
      maxGradNorm: want.max_grad_norm ?? 0,
      shuffle: false,
    };
    for await (const step of trainSequences(model, adapter.parameters, goldenSequences(golden), options))
      metrics.push(step);
    const column = (key: "loss" | "gradNorm" | "learningRate") => metrics.map((step) => step[key]);
    expect(worst(column("loss"), want.loss)).toBeLessThan(1e-4);
    expect(worst(column("gradNorm"), want.grad_norm)).toBeLessThan(1e-3);
    expect(worst(column("learningRate"), want.lr)).toBeLessThan(1e-9);
    const tensors = await readTensors(folder, "golden.safetensors");
    for (const [parameter, values] of await readParameters(adapter.parameters)) {
      const final = run === "A" ? tensors.get(`final.base_model.model.${parameter}.weight`) : undefined;
      if (final) expect(relativeNormError(values, final), parameter).toBeLessThan(1e-4);
    }
  });

  test("the adapter is written back byte for byte as PEFT wrote it", async () => {
    const { adapter } = await openAdapted();
    const bytes = (await adapterFiles(adapter)).get("adapter_model.safetensors") as Uint8Array;
    expect(Buffer.from(bytes).equals(readFileSync(`${folder}/adapter/adapter_model.safetensors`))).toBe(true);
  });

  // The golden text comes from whole forward passes; here it goes through the key/value cache.
  test("greedy text with and without the adapter", async () => {
    const { model, adapter } = await openAdapted();
    const text = async () => {
      const ids: number[] = [];
      for await (const id of generateTokens(model, golden.generate.prompt, {
        maxNewTokens: golden.generate.tokens.length,
      }))
        ids.push(id);
      return ids;
    };
    expect(await text()).toEqual(golden.generate.tokens);
    adapter.enable(false);
    if (golden.generate.base_tokens) expect(await text()).toEqual(golden.generate.base_tokens);
  });
});
