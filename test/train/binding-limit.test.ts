import { expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { createModel } from "../../src/load/create.ts";
import { trainSequences } from "../../src/train/trainer.ts";
import { testDevice } from "../support/device.ts";

const config = {
  architectures: ["LlamaForCausalLM"],
  vocab_size: 64,
  hidden_size: 32,
  intermediate_size: 128,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  max_position_embeddings: 32,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
};

/** Losses where a binding has at most `limit` bytes. */
async function losses(adapted: boolean, limit?: number): Promise<number[]> {
  const device = await testDevice();
  const { bindingLimit } = device;
  const { model, parameters } = createModel(device, config);
  const method = lora({ r: 16, alpha: 32, dropout: 0.1, targetModules: "all-linear" });
  const trained = adapted ? attach(model, method).parameters : parameters;
  const inputIds = Array.from({ length: 12 }, (_, i) => (7 * i) % 64);
  const options = { maxSteps: 4, batchSize: 2, learningRate: 1e-2 };
  const sequences = [inputIds, inputIds.toReversed()].map((inputIds) => ({ inputIds, labels: inputIds }));
  const result: number[] = [];
  device.memory.onRelease = undefined; // filling freed buffers with NaN binds them whole
  device.kernels.bindingLimit = limit ?? bindingLimit;
  for await (const { loss } of trainSequences(model, trained, sequences, options)) result.push(loss);
  device.kernels.bindingLimit = bindingLimit;
  return result;
}

// 8 KiB: the weights of the MLP, its activations, and the flat parameters, gradients and moments are all larger.
test.each([
  ["LoRA", true],
  ["all weights", false],
])("training %s under a binding limit gives the same losses", async (_, adapted) => {
  const windowed = await losses(adapted, 8192);
  expect(windowed).toBeClose(await losses(adapted), 1e-4);
  expect(windowed[3]).toBeLessThan(windowed[0] as number);
});
