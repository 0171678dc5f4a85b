import { afterEach, describe, expect, test, vi } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import * as encoderOps from "../../src/autograd/encoder-ops.ts";
import * as ops from "../../src/autograd/ops.ts";
import { one, Tape } from "../../src/autograd/tape.ts";
import { scoped } from "../../src/gpu/tensor.ts";
import { createModel } from "../../src/load/create.ts";
import { allocateLike } from "../../src/nn/parameters.ts";
import { languageModelling } from "../../src/train/language-modelling.ts";
import { accumulateGradients } from "../../src/train/pass.ts";
import { createRandom } from "../../src/util/random.ts";
import { randomValues } from "../reference/gradient.ts";
import { floats, testDevice } from "../support/device.ts";

const ids = (seed: number) => Array.from({ length: 32 }, (_, i) => 1 + ((seed * 31 + i * i) % 60));
const SEQUENCES = [1, 2].map((seed) => ({ inputIds: ids(seed), labels: ids(seed) }));

const SHAPE = { vocab_size: 64, hidden_size: 32, num_hidden_layers: 3, num_attention_heads: 2 };
const LLAMA = { architectures: ["LlamaForCausalLM"], intermediate_size: 96, num_key_value_heads: 1 };
/** With norms around both halves of a layer. */
const GEMMA2 = { ...LLAMA, architectures: ["Gemma2ForCausalLM"], head_dim: 16 };
/** With LayerNorm, and an activation function without a gate. */
const NEOX = { architectures: ["GPTNeoXForCausalLM"], intermediate_size: 128, rotary_pct: 0.5 };

/** Gradients of a fresh model, and the most memory that they took. */
async function gradientsOf(config: object, adapted: boolean) {
  const device = await testDevice();
  const { memory } = device;
  const { model, parameters } = createModel(device, { max_position_embeddings: 64, ...SHAPE, ...config });
  const adapter = adapted
    ? attach(model, lora({ r: 4, targetModules: "all-linear", dropout: 0.1 }))
    : undefined;
  const trained = adapter?.parameters ?? parameters;
  trained.flat.write(Float32Array.from(randomValues(trained.flat.size, 9), (value) => value * 0.1));
  const objective = languageModelling(model);
  const { flat, views } = allocateLike(trained);
  const batch = objective.collate(SEQUENCES, createRandom(0));
  one(device); // made once, and kept
  const before = memory.stats.used;
  memory.resetPeak();
  const loss = accumulateGradients(objective, trained, views, [batch], { seed: 1 });
  const peak = memory.stats.peak - before;
  memory.release(loss.storage);
  const left = memory.stats.used - before;
  const gradients = await flat.read();
  memory.release(flat.storage);
  adapter?.release();
  model.release();
  return { gradients, peak, left };
}

describe("what costs little is computed again", () => {
  afterEach(() => vi.restoreAllMocks());

  test.each([
    ["Llama, LoRA", LLAMA, true],
    ["Llama, all weights", LLAMA, false],
    ["Gemma 2, LoRA", GEMMA2, true],
    ["GPT-NeoX, all weights", NEOX, false],
  ] as const)("%s: gradients to the same bits, in less memory", async (_, config, adapted) => {
    const again = await gradientsOf(config, adapted);
    vi.spyOn(Tape.prototype, "endLayer").mockImplementation(() => {}); // everything stays
    const kept = await gradientsOf(config, adapted);
    expect(again.gradients.some((value) => value !== 0)).toBe(true);
    expect(again.gradients.every(Number.isFinite)).toBe(true);
    expect(again.gradients).toEqual(kept.gradients);
    expect(again.peak).toBeLessThan(0.95 * kept.peak);
    expect(again.left).toBe(kept.left); // tables that belong to the model
  });
});

describe("a tape", () => {
  const bytes = 64 * 64 * 4;

  /** A tape, and leaves for a product that saves what it multiplies. */
  async function leaves() {
    const device = await testDevice();
    const x = floats(device, randomValues(64 * 64, 1), [64, 64]);
    const w = floats(device, randomValues(64 * 64, 2), [64, 64]);
    const tape = new Tape();
    for (const leaf of [x, w]) tape.watch(leaf);
    return { device, x, w, tape };
  }

  test("gives up at the end of a layer what it alone holds, and no more", async () => {
    const { device, x, w, tape } = await leaves();
    const { memory } = device;
    scoped(device, () => {
      const before = memory.stats.used;
      const y = scoped(device, () => ops.linear(tape, encoderOps.activate(tape, x, "gelu"), w));
      expect(memory.stats.used - before).toBe(2 * bytes);
      tape.endLayer();
      expect(memory.stats.used - before).toBe(bytes);
      const seen = encoderOps.activate(tape, y, "gelu"); // held by this scope, too
      ops.linear(tape, seen, w);
      const held = memory.stats.used;
      tape.endLayer();
      expect(memory.stats.used).toBe(held);
      tape.discard();
      return undefined;
    });
  });

  test("an error while it computes again leaves nothing behind", async () => {
    const { device, x, w, tape } = await leaves();
    const { memory } = device;
    const before = memory.stats.used;
    scoped(device, () => {
      const y = scoped(device, () => {
        const doubled = ops.scale(undefined, x, 2);
        const again = () => {
          ops.scale(undefined, x, 2);
          throw new Error("planted");
        };
        tape.record(doubled, [x], { coarse: [], again }, () => {});
        return ops.linear(tape, doubled, w);
      });
      tape.endLayer();
      expect(() => tape.backward(y, y)).toThrow("planted");
      return undefined;
    });
    expect(memory.stats.used).toBe(before);
  });
});
