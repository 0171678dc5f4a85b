import { expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { createModel } from "../../src/load/create.ts";
import { trainSequences } from "../../src/train/trainer.ts";
import type { TrainerOptions } from "../../src/train/trainer-options.ts";
import { testDevice } from "../support/device.ts";

const config = {
  architectures: ["LlamaForCausalLM"],
  vocab_size: 32,
  hidden_size: 32,
  intermediate_size: 64,
  num_hidden_layers: 4,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  max_position_embeddings: 32,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
};

/** Bind groups made in each of five steps. */
async function groupsOfSteps(options: TrainerOptions, adapted = true): Promise<number[]> {
  const device = await testDevice();
  const released = device.memory.onRelease;
  device.memory.onRelease = undefined; // filling freed buffers with NaN is not the step's work
  const { model, parameters } = createModel(device, config);
  const trained = adapted
    ? attach(model, lora({ r: 4, targetModules: "all-linear" })).parameters
    : parameters;
  const inputIds = Array.from({ length: 16 }, (_, i) => (7 * i) % 32);
  // Half of the labels count, so that rows are gathered and scattered, too.
  const labels = inputIds.map((id, i) => (i < 8 ? -100 : id));
  const counts: number[] = [];
  let before = device.kernels.bound;
  const run = trainSequences(model, trained, [{ inputIds, labels }], {
    maxSteps: 5,
    batchSize: 1,
    ...options,
  });
  for await (const _ of run) {
    counts.push(device.kernels.bound - before);
    before = device.kernels.bound;
  }
  device.memory.onRelease = released;
  return counts;
}

test.each<[string, TrainerOptions, boolean?]>([
  ["LoRA", {}],
  ["all weights", {}, false],
  ["with accumulation", { gradientAccumulationSteps: 3 }],
  ["with checkpointing", { gradientCheckpointing: true }],
  ["with both", { gradientAccumulationSteps: 2, gradientCheckpointing: true }],
])("%s: from the second step on no bind group is new", async (_, options, adapted) => {
  const [first = 0, ...later] = await groupsOfSteps(options, adapted);
  expect(first).toBeGreaterThan(100);
  expect(later).toEqual([0, 0, 0, 0]);
});
