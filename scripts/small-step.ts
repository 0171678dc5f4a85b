// The training step that WebGPU libraries are compared by: Llama, D 256, 4 layers, 4 heads, FFN 1024, vocabulary 1024, T 128.
import { attach } from "../src/adapters/adapter.ts";
import { lora } from "../src/adapters/lora/lora.ts";
import type { Device } from "../src/gpu/device.ts";
import { createModel } from "../src/load/create.ts";
import { type StepMetrics, trainSequences } from "../src/train/trainer.ts";

const TOKENS = 128;
export const SMALL_CONFIG = {
  architectures: ["LlamaForCausalLM"],
  vocab_size: 1024,
  hidden_size: 256,
  intermediate_size: 1024,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 4,
  max_position_embeddings: TOKENS,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
};
const inputIds = Array.from({ length: TOKENS }, (_, i) => (7 * i) % SMALL_CONFIG.vocab_size);
const sequences = [{ inputIds, labels: inputIds }];

/** That model for rows of up to so many tokens, freshly initialised. */
export function createSmallModel(device: Device, tokens = TOKENS) {
  return createModel(device, { ...SMALL_CONFIG, max_position_embeddings: tokens });
}

/**
 * A run whose steps are asked for one by one: of all weights, or of LoRA r 8 on all linears.
 * @param goesOn it records the next step while the device computes one
 */
export function smallRun(
  device: Device,
  adapted: boolean,
  { maxSteps, goesOn = false }: { maxSteps: number; goesOn?: boolean },
): AsyncGenerator<StepMetrics> {
  const { model, parameters } = createSmallModel(device);
  const trained = adapted
    ? attach(model, lora({ r: 8, targetModules: "all-linear" })).parameters
    : parameters;
  return trainSequences(model, trained, sequences, {
    maxSteps,
    batchSize: 1,
    learningRate: 1e-3,
    ...(goesOn && { settleAfter: () => false }),
  });
}
