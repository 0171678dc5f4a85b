// What AdaLoRA does beside the contract: ranks cut down as PEFT cuts them, kept in files and in checkpoints.
import { describe, expect, test } from "vitest";
import { adalora } from "../../src/adapters/adalora/adalora.ts";
import { budgetAt } from "../../src/adapters/adalora/rank-budget.ts";
import { attach } from "../../src/adapters/adapter.ts";
import { fromArray } from "../../src/gpu/tensor.ts";
import { memoryFiles } from "../../src/io/files/files.ts";
import type { RunState } from "../../src/io/formats/run-state.ts";
import { adapterFiles, loadAdapter } from "../../src/load/adapter.ts";
import type { Model } from "../../src/load/model.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import type { TrainState } from "../../src/train/state.ts";
import { trainSequences } from "../../src/train/trainer.ts";
import { contextOf } from "../support/context.ts";
import { fixturePath, openTestModel, readJsonFile, readTensors } from "../support/fixtures.ts";
import { wholeFiles as bytesOf } from "../support/merged-cases.ts";

const FOLDER = fixturePath("methods/adalora");
const TRAINED = fixturePath("methods/adalora-trained");
const golden = readJsonFile<{ input_ids: number[][]; labels: number[][]; lengths: number[] }>(
  FOLDER,
  "golden.json",
);
const sequences = golden.lengths.map((length, row) => ({
  inputIds: golden.input_ids[row]!.slice(0, length),
  labels: golden.labels[row]!.slice(0, length),
}));
const OPTIONS = {
  maxSteps: 10,
  batchSize: 3,
  learningRate: 5e-3,
  schedule: "linear",
  warmupSteps: 3,
  weightDecay: 0.01,
  maxGradNorm: 1,
  shuffle: false,
} as const;

const open = async (folder = FOLDER) => {
  const model = await openTestModel(fixturePath("llama-gqa"));
  return { model, adapter: await loadAdapter(model, folderFiles(folder)) };
};
const text = (bytes: Uint8Array | undefined) =>
  new TextDecoder().decode(bytes).replace(/"base_model_name_or_path": "[^"]*"/, "");
const lastLogits = async (model: Model) => {
  const { inputIds } = sequences[0]!;
  const ids = fromArray(model.device, Uint32Array.from(inputIds), [1, inputIds.length]);
  return (await model.logits(model.hidden(ids, contextOf(ids))).read()).slice(-model.config.vocabSize);
};

test("ten steps leave the ranks that PEFT leaves; another ten that are resumed in the middle, the same bytes", async () => {
  const { model, adapter } = await open();
  let live: TrainState | undefined;
  let middle: RunState | undefined;
  const onStart = (state: TrainState) => {
    live = state;
  };
  for await (const { step } of trainSequences(model, adapter.parameters, sequences, { ...OPTIONS, onStart }))
    if (step === 5) middle = await live!.capture();
  const files = await bytesOf(await adapterFiles(adapter));
  const peft = folderFiles(TRAINED);
  const config = await peft.read(
    "adapter_config.json",
    0,
    (await peft.size("adapter_config.json")) as number,
  );
  expect(text(files.get("adapter_config.json"))).toBe(text(config));
  const again = await loadAdapter(
    await openTestModel(fixturePath("llama-gqa")),
    memoryFiles("trained", files),
  );
  const wanted = await readTensors(TRAINED, "adapter_model.safetensors");
  for (const { module, tensors } of again.sites)
    for (const name of ["lora_A", "lora_B", "lora_E"]) {
      const peftOwn = wanted.get(`base_model.model.${module.path}.${name}`)!;
      if (peftOwn.length > 0) expect(await tensors[name]!.read()).toBeClose(peftOwn, 1e-3);
    }

  const other = await open();
  const resumed = { ...OPTIONS, resume: middle! };
  const steps: number[] = [];
  for await (const { step } of trainSequences(other.model, other.adapter.parameters, sequences, resumed))
    steps.push(step);
  expect(steps).toEqual([6, 7, 8, 9, 10]);
  expect(await bytesOf(await adapterFiles(other.adapter))).toEqual(files);
});

test("a file that was cut down does what PEFT's does, stays so in training, and is saved as it was", async () => {
  const { model, adapter } = await open(TRAINED);
  const { logits } = readJsonFile<{ logits: number[] }>(TRAINED, "golden.json");
  expect(await lastLogits(model)).toBeClose(logits, 1e-5);
  const files = await bytesOf(await adapterFiles(adapter));
  const peft = folderFiles(TRAINED);
  for (const [name, own] of files) {
    const bytes = await peft.read(name, 0, (await peft.size(name)) as number);
    if (name.endsWith(".json")) expect(text(own)).toBe(text(bytes));
    else expect(Buffer.from(own).equals(Buffer.from(bytes)), name).toBe(true);
  }
  for await (const _ of trainSequences(model, adapter.parameters, sequences, { ...OPTIONS, maxSteps: 2 }));
  const trained = await bytesOf(await adapterFiles(adapter));
  expect(text(trained.get("adapter_config.json"))).toBe(text(files.get("adapter_config.json")));
  expect(trained.get("adapter_model.safetensors")).not.toEqual(files.get("adapter_model.safetensors"));
});

describe("the budget", () => {
  const plan = { initial: 24, target: 6, tinit: 2, tfinal: 2, deltaT: 3, totalStep: 12 };

  // As PEFT's budget_schedule and update_and_allocate have it.
  test.each([
    [2, true, undefined, false],
    [3, true, 6, false],
    [4, true, undefined, false],
    [6, true, 16, false],
    [9, true, 18, false],
    [10, false, 18, false],
    [11, false, undefined, true],
  ])("of step %i", (step, averages, dropped, masksAgain) => {
    expect(budgetAt(step, plan)).toEqual({ averages, dropped, masksAgain });
  });
});

test("plans that leave no step to cut ranks down in are refused", async () => {
  expect(() => adalora({ targetR: 9, initR: 8, tinit: 5, tfinal: 5, totalStep: 10 })).toThrow(
    /2 problems:\n.*targetR is 9, above initR, 8\n.*tinit 5 and tfinal 5 leave none of 10 steps/,
  );
  const model = await openTestModel(fixturePath("llama-gqa"));
  const { parameters } = attach(model, adalora({ initR: 2, targetR: 1, tinit: 9, tfinal: 1 }));
  const run = trainSequences(model, parameters, sequences, OPTIONS).next();
  await expect(run).rejects.toThrow(/a run of 10 steps has none between tinit, 9, and tfinal, 1/);
});
