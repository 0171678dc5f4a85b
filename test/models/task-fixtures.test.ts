import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { fromArray } from "../../src/gpu/tensor.ts";
import { argmax } from "../../src/kernels/sampling.ts";
import { adapterFiles, loadAdapter } from "../../src/load/adapter.ts";
import { requireTask } from "../../src/models/model.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { generateTokens } from "../../src/train/generate.ts";
import { Optimizer } from "../../src/train/optimizer.ts";
import { accumulateGradients } from "../../src/train/pass.ts";
import { trainObjective } from "../../src/train/trainer.ts";
import { createRandom } from "../../src/util/random.ts";
import { relativeNormError } from "../support/compare.ts";
import { contextOf } from "../support/context.ts";
import { fixturePath, readJsonFile, readTensors } from "../support/fixtures.ts";
import { openTestTask, type TaskGolden, taskCase } from "../support/task-fixtures.ts";

// Oracle: PyTorch + transformers 5.18 + PEFT 0.21 (test/fixtures/make_tasks.py).
describe.each(readdirSync(fixturePath("tasks")))("%s", (name) => {
  const folder = fixturePath(`tasks/${name}`);
  const golden = readJsonFile<TaskGolden>(folder, "golden.json");
  const open = async () => {
    const tensors = await readTensors(folder, "golden.safetensors");
    const model = await openTestTask(folder);
    const adapter = await loadAdapter(model, folderFiles(`${folder}/adapter`));
    return { tensors, model, adapter, ...taskCase(model, golden, tensors) };
  };

  test("logits with and without the adapter", async () => {
    const { tensors, adapter, logits } = await open();
    const worst = (got: Float32Array, want: Float32Array) => {
      expect(got.length).toBe(want.length);
      return Math.max(...got.map((value, i) => Math.abs(value - (want[i] as number))));
    };
    expect(worst(await logits(), tensors.get("adapter_logits")!)).toBeLessThan(1e-4);
    adapter.enable(false);
    expect(worst(await logits(), tensors.get("base_logits")!)).toBeLessThan(1e-4);
  });

  test.each([false, true])("loss and all gradients, checkpointing %s", async (checkpoint) => {
    const { tensors, adapter, objective, items } = await open();
    const optimizer = new Optimizer(adapter.parameters);
    const batch = objective.collate(items, createRandom(0));
    const options = { seed: 0, checkpoint };
    const sum = accumulateGradients(objective, adapter.parameters, optimizer.gradients, [batch], options);
    const loss = ((await sum.read())[0] as number) / batch.terms;
    expect(Math.abs(loss - golden.loss)).toBeLessThan(1e-5);
    const wanted = [...tensors.keys()].filter((key) => key.startsWith("grad."));
    expect(adapter.parameters.entries.length).toBe(wanted.length);
    for (const { name, tensor } of adapter.parameters.entries) {
      const key = name.replace(/(lora_[AB])$/, "$1.weight");
      const sums = await optimizer.gradients.get(tensor)!.read();
      const got = sums.map((value) => value / batch.terms);
      const want = tensors.get(`grad.base_model.model.${key}`)!;
      // A bias of the keys shifts all scores of a query alike: its gradient is rounding noise around zero.
      if (Math.hypot(...want) < 1e-6) expect(Math.hypot(...got), name).toBeLessThan(1e-5);
      else expect(relativeNormError(got, want), name).toBeLessThan(1e-3);
    }
    optimizer.release();
  });

  test("five AdamW steps", async () => {
    const { adapter, objective, items } = await open();
    const losses: number[] = [];
    const options = {
      maxSteps: 5,
      batchSize: items.length,
      learningRate: golden.train.learning_rate,
      weightDecay: 0.01, // as the fixtures were made
      shuffle: false,
    };
    for await (const { loss } of trainObjective(objective, adapter.parameters, items, options))
      losses.push(loss);
    expect(losses.length).toBe(5);
    const worst = Math.max(...losses.map((loss, i) => Math.abs(loss - golden.train.loss[i]!)));
    expect(worst).toBeLessThan(1e-4);
  });

  test("the adapter is written back as PEFT wrote it, byte for byte", async () => {
    const { adapter } = await open();
    const files = await adapterFiles(adapter);
    const weights = files.get("adapter_model.safetensors") as Uint8Array;
    const stored = readFileSync(`${folder}/adapter/adapter_model.safetensors`);
    expect(Buffer.from(weights).equals(stored)).toBe(true);
    const config = JSON.parse(files.get("adapter_config.json") as string) as Record<string, unknown>;
    const wanted = readJsonFile<Record<string, unknown>>(`${folder}/adapter`, "adapter_config.json");
    // The base model is where it was loaded from.
    expect({ ...config, base_model_name_or_path: 0 }).toEqual({ ...wanted, base_model_name_or_path: 0 });
  });

  if (golden.task !== "causal-lm") return;
  test("eight greedy tokens, with the cache and without", async () => {
    const { model: opened } = await open();
    const model = requireTask(opened, "causal-lm");
    const { prompt, tokens } = golden.generate;
    const cached: number[] = [];
    for await (const id of generateTokens(model, prompt, { maxNewTokens: 8 })) cached.push(id);
    expect(cached).toEqual(tokens);
    const whole = [...prompt];
    while (whole.length < prompt.length + 8) {
      const ids = fromArray(model.device, Uint32Array.from(whole), [1, whole.length]);
      const best = argmax(model.logits(model.hidden(ids, contextOf(ids))));
      whole.push((await best.readIntegers())[whole.length - 1] as number);
    }
    expect(whole.slice(prompt.length)).toEqual(tokens);
  });
});
