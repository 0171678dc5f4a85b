import { attach } from "../src/adapters/adapter.ts";
import { lora } from "../src/adapters/lora/lora.ts";
import type { Device } from "../src/gpu/device.ts";
import { elementCount, fromArray } from "../src/gpu/tensor.ts";
import type { HfConfig } from "../src/models/config-reader.ts";
import { buildModel } from "../src/models/families.ts";
import { requireTask } from "../src/models/model.ts";
import { joinPath, type Weights } from "../src/nn/weights.ts";
import { Optimizer } from "../src/train/optimizer.ts";
import { encodeBf16 } from "../src/util/half.ts";
import { type BenchCase, repeatedValues, sized } from "./harness.ts";
import { MODELS, type ModelSize, TOKENS } from "./models.ts";
import { batchOf, recordStep } from "./step.ts";

const RANK = 8;

const architecture = "LlamaForCausalLM";
/** Small enough for any device, and for the tests. */
export const TOY: ModelSize = {
  ...{ name: "toy", architecture, layers: 2, hidden: 64, intermediate: 128, vocab: 512 },
  ...{ heads: 2, kvHeads: 2, headDim: 32 },
};
/** What `bench:peers` trains; larger steps are predicted from it. */
export const SMALL: ModelSize = {
  ...{ name: "D256", architecture, layers: 4, hidden: 256, intermediate: 1024, vocab: 1024 },
  ...{ heads: 4, kvHeads: 4, headDim: 64 },
};

function configOf(size: ModelSize, tokens: number): HfConfig {
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

/**
 * Random weights in bf16, quick to make at any size. Those of the embedding are so small that an untrained model finds
 * all tokens equally likely, also where it shares them with the output layer.
 */
function repeatedWeights(device: Device): Weights {
  const at = (path: string): Weights => ({
    path,
    at: (name) => at(joinPath(path, name)),
    tensor(_, shape, { init = "normal", storage = "words" } = {}) {
      const count = elementCount(shape);
      if (init !== "normal")
        return fromArray(device, new Float32Array(count).fill(init === "ones" ? 1 : 0), shape);
      const values = repeatedValues(count, path.length, path.includes("embed") ? 0.002 : 0.02);
      return storage === "f32"
        ? fromArray(device, values, shape)
        : fromArray(device, encodeBf16(values), shape, "bf16");
    },
    weight(name, shape, request) {
      return this.tensor(name, shape, request);
    },
  });
  return at("");
}

/** In and out of each linear layer of a block. */
function linearsOf({ hidden, intermediate, heads, kvHeads, headDim }: ModelSize): [number, number][] {
  const [queries, keys] = [heads * headDim, kvHeads * headDim];
  const mlp: [number, number][] = [
    [hidden, intermediate],
    [hidden, intermediate],
    [intermediate, hidden],
  ];
  return [[hidden, queries], [hidden, keys], [hidden, keys], [queries, hidden], ...mlp];
}

/**
 * Multiplications and additions that a step needs: 4 a frozen weight and token (forward and input gradient), 6 an
 * adapter's, and 7 T² / 2 · 2 a query column of causal attention; the first layer's input needs no gradient.
 */
export function stepFlops(size: ModelSize, tokens: number): number {
  const { layers, hidden, heads, headDim, vocab } = size;
  const linears = linearsOf(size);
  const frozen = linears.reduce((sum, [a, b]) => sum + a * b, 0);
  const adapters = linears.reduce((sum, [a, b]) => sum + RANK * (a + b), 0);
  const unused = linears.slice(0, 3).reduce((sum, [a, b]) => sum + a * b + RANK * a, 0);
  const attention = 7 * tokens ** 2 * heads * headDim;
  return (
    tokens * (layers * (4 * frozen + 6 * adapters) - 2 * unused) +
    4 * vocab * hidden * (tokens - 1) +
    layers * attention
  );
}

/** Forward, backward and AdamW of LoRA r 8 on all linear layers of a frozen bf16 model; one sequence of T tokens. */
function loraStep(size: ModelSize, tokens: number): BenchCase {
  const flops = stepFlops(size, tokens);
  const weightBytes = 2 * size.vocab * size.hidden;
  const setup = (device: Device) => {
    const config = configOf(size, tokens);
    const model = requireTask(buildModel(device, config, repeatedWeights(device), "causal-lm"), "causal-lm");
    const adapter = attach(model, lora({ r: RANK, targetModules: "all-linear" }));
    const optimizer = new Optimizer(adapter.parameters);
    const batch = batchOf(Array.from({ length: tokens }, (_, i) => (7 * i) % size.vocab));
    const options = { parameters: adapter.parameters, optimizer, batch, learningRate: 1e-4 };
    return {
      run: () => recordStep(model, options),
      reference: () => [batch.terms * Math.log(size.vocab)],
      tolerance: 0.01,
      flops,
      onTheWall: true,
      release() {
        optimizer.release();
        adapter.release();
        model.release();
      },
    };
  };
  return sized("training-step LoRA", `${size.name} T${tokens} r${RANK}`, flops, setup, ({ limits }) =>
    weightBytes > limits.maxBufferSize
      ? `the embedding has ${weightBytes} bytes, a buffer at most ${limits.maxBufferSize}`
      : undefined,
  );
}

export const cases: BenchCase[] = [
  loraStep(TOY, 128),
  loraStep(SMALL, 128),
  ...MODELS.flatMap((model) => [...TOKENS, 4096].map((tokens) => loraStep(model, tokens))),
];
