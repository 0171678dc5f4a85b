import { expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { linearCrossEntropy, targetsOfAll } from "../../src/autograd/loss.ts";
import { Tape } from "../../src/autograd/tape.ts";
import { fromArray, scoped } from "../../src/gpu/tensor.ts";
import type { Model } from "../../src/load/model.ts";
import { isLinear } from "../../src/nn/linear.ts";
import { modules } from "../../src/nn/module.ts";
import { languageModelling } from "../../src/train/language-modelling.ts";
import { Optimizer } from "../../src/train/optimizer.ts";
import { accumulateGradients } from "../../src/train/pass.ts";
import { contextOf } from "../support/context.ts";
import { fixturePath, openTestModel } from "../support/fixtures.ts";
import { collate } from "../support/layouts.ts";

const folder = fixturePath("llama-gqa");
const tokens = (length: number) => Array.from({ length }, (_, i) => (i * 7 + 3) % 97);

/** Nodes that a training pass records with LoRA on some modules. */
function recordedNodes(model: Model, targetModules: string[]): number {
  const adapter = attach(model, lora({ r: 4, targetModules }));
  const tape = new Tape();
  for (const { tensor } of adapter.parameters.entries) tape.watch(tensor);
  let length = 0;
  scoped(model.device, () => {
    const ids = fromArray(model.device, Uint32Array.from(tokens(8)), [1, 8]);
    const hidden = model.hidden(ids, { ...contextOf(ids), tape, training: true });
    const loss = linearCrossEntropy(
      tape,
      hidden,
      model.head.weight,
      targetsOfAll(Int32Array.from(tokens(8))),
    );
    for (const module of modules(model.root))
      if (isLinear(module)) expect(tape.tracks(module.weight.words)).toBe(false);
    expect(tape.tracks(model.head.weight.words)).toBe(false);
    length = tape.length;
    tape.backward(loss);
    return undefined;
  });
  adapter.release();
  return length;
}

test("backward stops at the lowest adapted layer and frozen weights are not tracked", async () => {
  const model = await openTestModel(folder);
  // Final norm, loss, and of the last layer: down_proj and its residual addition.
  expect(recordedNodes(model, ["layers.1.mlp.down_proj"])).toBe(4);
  const upper = recordedNodes(model, ["layers.1.self_attn.q_proj"]);
  const both = recordedNodes(model, ["q_proj"]);
  expect(upper).toBeLessThan(both);
  expect(recordedNodes(model, ["layers.0.self_attn.q_proj"])).toBe(both);
});

test("a training pass allocates no gradient for frozen weights", async () => {
  const model = await openTestModel(folder);
  const adapter = attach(model, lora({ r: 2, targetModules: ["q_proj", "v_proj"] }));
  const optimizer = new Optimizer(adapter.parameters);
  const largestWeight = Math.max(
    ...[...modules(model.root)].filter(isLinear).map(({ weight }) => weight.byteLength),
  );
  const { memory } = model.device;
  const sizes: number[] = [];
  const allocate = memory.allocate.bind(memory);
  memory.allocate = (bytes) => {
    sizes.push(bytes);
    return allocate(bytes);
  };
  scoped(model.device, () => {
    const ids = tokens(4);
    const batch = collate([{ inputIds: ids, labels: ids }], { padTokenId: 0, padToMultipleOf: 4 });
    accumulateGradients(languageModelling(model), adapter.parameters, optimizer.gradients, [batch], {
      seed: 0,
    });
    return undefined;
  });
  memory.allocate = allocate;
  // With four tokens every activation is smaller than any weight, so a buffer of a weight's size would be its gradient.
  expect(Math.max(...sizes)).toBeLessThan(largestWeight);
});

/** Most memory that a training pass over one sequence needs beyond what is there before it. */
async function peakBytes(model: Model, length: number, checkpoint: boolean): Promise<number> {
  const adapter = attach(model, lora({ r: 4, targetModules: ["q_proj", "v_proj"] }));
  const optimizer = new Optimizer(adapter.parameters);
  const { memory } = model.device;
  memory.resetPeak();
  const before = memory.stats.used;
  scoped(model.device, () => {
    const ids = tokens(length);
    const batch = collate([{ inputIds: ids, labels: ids }], { padTokenId: 0 });
    accumulateGradients(languageModelling(model), adapter.parameters, optimizer.gradients, [batch], {
      seed: 0,
      checkpoint,
    });
    return undefined;
  });
  await model.device.sync();
  const peak = memory.stats.peak - before;
  optimizer.release();
  adapter.release();
  return peak;
}

test("memory of a training pass grows linearly in the sequence length", async () => {
  const model = await openTestModel(folder);
  const [short, long] = [await peakBytes(model, 64, false), await peakBytes(model, 128, false)];
  // Scores of all pairs would make it fourfold; buffers have at most 1/8 of slack.
  expect(long / short).toBeLessThan(2.2);
  expect(await peakBytes(model, 128, true)).toBeLessThan(long);
});
