// Language models of a given size with random weights.
import type { Device } from "../src/gpu/device.ts";
import { elementCount, fromArray, scoped, type Tensor } from "../src/gpu/tensor.ts";
import type { Decoding } from "../src/kernels/formats.ts";
import { Quantiser } from "../src/kernels/quantise.ts";
import { emptyWeight, type QuantisedWeight, type Weight } from "../src/kernels/weight.ts";
import { type Quantization, quantisation } from "../src/load/quantization.ts";
import type { HfConfig } from "../src/models/config-reader.ts";
import { buildModel } from "../src/models/families.ts";
import { type LanguageModel, requireTask } from "../src/models/model.ts";
import { joinPath, type Weights } from "../src/nn/weights.ts";
import { repeatedHalves, repeatedValues } from "./harness.ts";
import type { ModelSize } from "./models.ts";

/** How a random model is quantised; scales that are quantised themselves would have to be awaited. */
export type RandomQuantization = Pick<Quantization, "format" | "skipModules">;

/** A model of that size for texts of up to `tokens`, in bf16 words where it is not quantised. */
export function randomModel(
  device: Device,
  size: ModelSize,
  tokens: number,
  quantization?: RandomQuantization,
): LanguageModel {
  const weights = repeatedWeights(device, quantization);
  return requireTask(buildModel(device, configOf(size, tokens), weights, "causal-lm"), "causal-lm");
}

/** Why a device cannot hold the embedding, the largest of its tensors; undefined where it can. */
export function embeddingUnfit({ vocab, hidden }: ModelSize, { limits }: Device): string | undefined {
  const bytes = 2 * vocab * hidden;
  return bytes > limits.maxBufferSize
    ? `the embedding has ${bytes} bytes, a buffer at most ${limits.maxBufferSize}`
    : undefined;
}

/** The config.json of a model of that size. */
export function configOf(size: ModelSize, tokens: number): HfConfig {
  return {
    architectures: [size.architecture],
    vocab_size: size.vocab,
    hidden_size: size.hidden,
    intermediate_size: size.intermediate,
    num_hidden_layers: size.layers,
    num_attention_heads: size.heads,
    num_key_value_heads: size.kvHeads,
    head_dim: size.headDim,
    max_position_embeddings: tokens,
    rms_norm_eps: 1e-5,
    rope_theta: 10_000,
    tie_word_embeddings: true,
  };
}

/** A matrix of those values in few bits. */
function quantised(
  device: Device,
  shape: readonly [number, number],
  decoding: Decoding,
  values: () => Tensor,
): Weight {
  const weight = emptyWeight(device, shape, decoding) as QuantisedWeight;
  scoped(device, () => {
    new Quantiser(weight).addAll(values());
    return undefined;
  });
  return weight;
}

/**
 * Random weights in bf16, quick to make at any size. Those of the embedding are so small that an untrained model finds
 * all tokens equally likely, also where it shares them with the output layer.
 */
function repeatedWeights(device: Device, quantization?: RandomQuantization): Weights {
  const choose = quantisation(quantization);
  const at = (path: string): Weights => ({
    path,
    at: (name) => at(joinPath(path, name)),
    tensor(_, shape, { init = "normal", storage = "words" } = {}) {
      const count = elementCount(shape);
      if (init !== "normal")
        return fromArray(device, new Float32Array(count).fill(init === "ones" ? 1 : 0), shape);
      const seed = path.length;
      const scale = path.includes("embed") ? 0.002 : 0.02;
      return storage === "f32"
        ? fromArray(device, repeatedValues(count, seed, scale), shape)
        : fromArray(device, repeatedHalves(count, seed, "bf16", scale).codes, shape, "bf16");
    },
    weight(name, shape, request = {}) {
      const decoding = choose?.(joinPath(path, name), request, shape[1]);
      if (!decoding) return this.tensor(name, shape, request);
      return quantised(device, shape, decoding, () => this.tensor(name, shape, request));
    },
  });
  return at("");
}
