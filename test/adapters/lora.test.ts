import { expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { type LoraOptions, lora } from "../../src/adapters/lora/lora.ts";
import type { Linear } from "../../src/nn/linear.ts";
import { call } from "../../src/nn/module.ts";
import { createRandom } from "../../src/util/random.ts";
import { contextOf } from "../support/context.ts";
import { floats } from "../support/device.ts";
import { fixturePath, openTestModel } from "../support/fixtures.ts";

const WIDTH = 32; // q_proj of this fixture is 32 → 32
const x = Float32Array.from({ length: 4 * WIDTH }, (_, i) => 1 + i);

/** Branches of the q_proj of both layers at x: with A = B = 1 and scale 1, a branch is what dropout leaves of x. */
async function identityBranches(options: LoraOptions) {
  const model = await openTestModel(fixturePath("llama-gqa"));
  const adapter = attach(model, lora({ r: WIDTH, alpha: WIDTH, targetModules: ["q_proj"], ...options }));
  const identity = Float32Array.from({ length: WIDTH ** 2 }, (_, i) => (i % (WIDTH + 1) === 0 ? 1 : 0));
  for (const { tensor } of adapter.parameters.entries) tensor.write(identity);
  const X = floats(model.device, x, [4, WIDTH]);
  return async (layer: number, training: boolean, seed: number) => {
    const { module } = adapter.sites[layer]!;
    const context = { ...contextOf(X), training, seed, adapters: model.adapters.active };
    const [adapted, base] = [call(module, X, context), module.forward(X, context)];
    const [y, y0] = [await adapted.read(), await base.read()];
    return y.map((value, i) => Math.round(value - y0[i]!));
  };
}

test("dropout acts in training only, and differs from layer to layer and from pass to pass", async () => {
  const branch = await identityBranches({ dropout: 0.5 });
  expect([...(await branch(0, false, 1))]).toEqual([...x]);
  const first = await branch(0, true, 1);
  first.forEach((value, i) => {
    expect([0, 2 * x[i]!]).toContain(value);
  });
  expect(await branch(0, true, 1)).toEqual(first);
  expect(await branch(1, true, 1)).not.toEqual(first);
  expect(await branch(0, true, 2)).not.toEqual(first);
});

// PEFT 0.21, tuners/lora/layer.py reset_lora_parameters: kaiming_uniform(a = √5) is U(−1/√in, 1/√in), B is 0.
test("A is uniform between ±1/√in, B is zero", () => {
  const [r, inFeatures] = [64, 400];
  const layer = { kind: "linear", path: "q_proj", inFeatures, outFeatures: 8 };
  const { lora_A, lora_B } = lora({ r }).tensors(layer as unknown as Linear);
  const values = lora_A!.begin!(createRandom(1)) as Float32Array;
  const bound = 1 / Math.sqrt(inFeatures);
  const tenths = new Array<number>(10).fill(0);
  for (const value of values) tenths[Math.floor(((value + bound) / (2 * bound)) * 10)]!++;
  expect(tenths.length).toBe(10); // nothing lies outside
  const expected = values.length / 10;
  for (const count of tenths) expect(Math.abs(count - expected)).toBeLessThan(5 * Math.sqrt(expected));
  expect(lora_B).toEqual({ shape: [8, r] }); // zeros
});
