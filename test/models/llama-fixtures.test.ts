import { describe, expect, test } from "vitest";
import { fromArray } from "../../src/gpu/tensor.ts";
import { loadAdapter } from "../../src/load/adapter.ts";
import { readParameters } from "../../src/nn/parameters.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { generateTokens } from "../../src/train/generate.ts";
import { languageModelling } from "../../src/train/language-modelling.ts";
import { AdamW } from "../../src/train/optimizer.ts";
import { accumulateGradients, evaluateBatch } from "../../src/train/pass.ts";
import { type StepMetrics, trainSequences } from "../../src/train/trainer.ts";
import { relativeNormError } from "../support/compare.ts";
import {
  fixturePath,
  type Golden,
  type GoldenRun,
  goldenBatch,
  goldenSequences,
  openTestModel,
  readJsonFile,
  readTensors,
} from "../support/fixtures.ts";

// Oracle: PyTorch + transformers 5.18 + PEFT 0.21 (test/fixtures/make.py).
describe.each(["llama-gqa", "llama-tied"])("%s", (name) => {
  const folder = fixturePath(name);
  const golden = readJsonFile<Golden>(folder, "golden.json");
  const openAdapted = async () => {
    const model = await openTestModel(folder);
    return { model, adapter: await loadAdapter(model, folderFiles(`${folder}/adapter`)) };
  };

  test("logits with and without the adapter", async () => {
    const tensors = await readTensors(folder, "golden.safetensors");
    const { model, adapter } = await openAdapted();
    const { inputIds, lengths, batchSize, length } = goldenBatch(golden);
    const ids = fromArray(model.device, inputIds, [batchSize, length]);
    const valid = fromArray(model.device, Uint32Array.from(lengths), [batchSize]);
    const logits = async () => {
      const all = await model.logits(model.hidden(ids, { training: false, seed: 0, lengths: valid })).read();
      const V = model.config.vocabSize;
      return lengths.flatMap((n, row) => [...all.subarray(row * length * V, (row * length + n) * V)]);
    };
    const worst = (got: number[], want: Float32Array) =>
      Math.max(...got.map((v, i) => Math.abs(v - (want[i] as number))));
    expect(worst(await logits(), tensors.get("adapter_logits")!)).toBeLessThan(1e-4);
    adapter.enable(false);
    expect(worst(await logits(), tensors.get("base_logits")!)).toBeLessThan(1e-4);
  });

  test.each([false, true])(
    "loss and the gradient of every lora_A and lora_B, checkpointing %s",
    async (checkpoint) => {
      const tensors = await readTensors(folder, "golden.safetensors");
      const { model, adapter } = await openAdapted();
      const optimizer = new AdamW(adapter.parameters);
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
      expect(Math.abs(loss - golden.loss_f64)).toBeLessThan(1e-5);
      for (const { name, tensor } of adapter.parameters.entries) {
        const want = tensors.get(`grad.base_model.model.${name}.weight`);
        const got = await optimizer.gradients.get(tensor)!.read();
        expect(relativeNormError(got, want!), name).toBeLessThan(1e-3);
      }
      optimizer.release();
    },
  );

  test("base loss", async () => {
    const { model, adapter } = await openAdapted();
    adapter.enable(false);
    const loss = await evaluateBatch(languageModelling(model), goldenBatch(golden)).read();
    expect(Math.abs(loss[0]! / golden.label_tokens - golden.base_loss)).toBeLessThan(1e-5);
  });

  const runs = [
    ["A", { batchSize: 3 }],
    ["B", { batchSize: 1, gradientAccumulationSteps: 3 }],
    ["C", { batchSize: 3 }],
  ] as const;
  test.each(runs)("ten AdamW steps, run %s", async (run, batching) => {
    const want: GoldenRun = golden.train[run];
    const { model, adapter } = await openAdapted();
    const metrics: StepMetrics[] = [];
    const options = {
      ...batching,
      maxSteps: 10,
      learningRate: want.peak_lr,
      schedule: want.schedule,
      warmupSteps: want.warmup_steps,
      weightDecay: want.weight_decay,
      maxGradNorm: want.max_grad_norm ?? 0,
      shuffle: false,
    };
    for await (const step of trainSequences(model, adapter.parameters, goldenSequences(golden), options))
      metrics.push(step);
    const worst = (got: number[], wanted: number[]) =>
      Math.max(...got.map((value, i) => Math.abs(value - wanted[i]!)));
    expect(
      worst(
        metrics.map(({ loss }) => loss),
        want.loss,
      ),
    ).toBeLessThan(1e-4);
    expect(
      worst(
        metrics.map(({ gradNorm }) => gradNorm),
        want.grad_norm,
      ),
    ).toBeLessThan(1e-3);
    expect(
      worst(
        metrics.map(({ learningRate }) => learningRate),
        want.lr,
      ),
    ).toBeLessThan(1e-9);
    if (run !== "A") return;
    const tensors = await readTensors(folder, "golden.safetensors");
    for (const [name, values] of await readParameters(adapter.parameters)) {
      expect(
        relativeNormError(values, tensors.get(`final.base_model.model.${name}.weight`)!),
        name,
      ).toBeLessThan(1e-4);
    }
  });

  test("greedy text with and without the adapter", async () => {
    const { model, adapter } = await openAdapted();
    const text = async () => {
      const ids: number[] = [];
      for await (const id of generateTokens(model, golden.generate.prompt, { maxNewTokens: 12 }))
        ids.push(id);
      return ids;
    };
    expect(await text()).toEqual(golden.generate.tokens);
    adapter.enable(false);
    expect(await text()).toEqual(golden.generate.base_tokens);
  });
});
