import { expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { type LoraOptions, lora } from "../../src/adapters/lora/lora.ts";
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

/** Losses where a binding has at most `limit` bytes. @param given LoRA's options; all weights are trained without any */
async function losses(given: LoraOptions | undefined, limit?: number, vocab_size = 64): Promise<number[]> {
  const device = await testDevice();
  const { bindingLimit } = device;
  const { model, parameters } = createModel(device, { ...config, vocab_size });
  const method = given && lora({ r: 16, alpha: 32, dropout: 0.1, ...given });
  const trained = method ? attach(model, method).parameters : parameters;
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
// 48 KiB: with 512 words so are embedding, output layer, trained copies of them, and these copies' gradients and moments.
test.each<[string, LoraOptions | undefined, limit: number, words: number]>([
  ["LoRA", { targetModules: "all-linear" }, 8192, 64],
  ["all weights", undefined, 8192, 64],
  ["LoRA of output layer and embedding", { targetModules: ["lm_head", "embed_tokens"] }, 49_152, 512],
  ["copies of both", { targetModules: ["q_proj"], modulesToSave: ["lm_head", "embed_tokens"] }, 49_152, 512],
  ["some words alone", { targetModules: ["q_proj"], trainableTokenIndices: [0, 7, 14, 21] }, 49_152, 512],
])("training %s under a binding limit gives the same losses", async (_, options, limit, words) => {
  const windowed = await losses(options, limit, words);
  expect(windowed).toBeClose(await losses(options, undefined, words), 1e-4);
  expect(windowed[3]).toBeLessThan(windowed[0] as number);
});
