import { expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { createModel } from "../../src/load/create.ts";
import { trainSequences } from "../../src/train/trainer.ts";
import { testDevice } from "../support/device.ts";

/** Four layers, as in the step that libraries are compared by; small, since only the number of dispatches is counted. */
const config = {
  architectures: ["LlamaForCausalLM"],
  vocab_size: 32,
  hidden_size: 32,
  intermediate_size: 64,
  num_hidden_layers: 4,
  num_attention_heads: 2,
  num_key_value_heads: 2,
  max_position_embeddings: 32,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
};

async function countStep(adapted: boolean): Promise<{ dispatches: number; pipelines: number }> {
  const device = await testDevice();
  const released = device.memory.onRelease;
  device.memory.onRelease = undefined; // filling freed buffers with NaN is not the step's work
  const { model, parameters } = createModel(device, config);
  const method = lora({ r: 4, targetModules: "all-linear" });
  const trained = adapted ? attach(model, method).parameters : parameters;
  const inputIds = Array.from({ length: 16 }, (_, i) => (7 * i) % 32);
  const sequence = { inputIds, labels: inputIds };
  let count = { dispatches: 0, pipelines: 0 };
  let last = { ...count };
  for await (const _ of trainSequences(model, trained, [sequence], { maxSteps: 3, batchSize: 1 })) {
    const { stream, kernels } = device;
    const now = { dispatches: stream.dispatches, pipelines: kernels.compiled };
    count = { dispatches: now.dispatches - last.dispatches, pipelines: now.pipelines - last.pipelines };
    last = now;
  }
  device.memory.onRelease = released;
  return count;
}

test("a step that trains all weights: at most 167 dispatches, none of which compiles after the first step", async () => {
  const { dispatches, pipelines } = await countStep(false);
  expect(dispatches).toBeLessThanOrEqual(167);
  expect(pipelines).toBe(0);
});

test("a step of LoRA on all linears: at most 170 dispatches, on GPUs at most 133", async () => {
  const { dispatches, pipelines } = await countStep(true);
  const { profile } = await testDevice();
  expect(dispatches).toBeLessThanOrEqual(profile.sharesWork ? 133 : 170);
  expect(pipelines).toBe(0);
});
