// Several adapters on one model: stacked, chosen for a pass, released while others run.
import { expect, test } from "vitest";
import { type Adapter, attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { fromArray } from "../../src/gpu/tensor.ts";
import type { Model } from "../../src/load/model.ts";
import { isLinear } from "../../src/nn/linear.ts";
import { call, modules } from "../../src/nn/module.ts";
import { languageModelling } from "../../src/train/language-modelling.ts";
import { Optimizer } from "../../src/train/optimizer.ts";
import { accumulateGradients } from "../../src/train/pass.ts";
import { trainSequences } from "../../src/train/trainer.ts";
import { createRandom } from "../../src/util/random.ts";
import { contextOf } from "../support/context.ts";
import { fixturePath, openTestModel } from "../support/fixtures.ts";
import { collate } from "../support/layouts.ts";

const TARGETS = { targetModules: ["q_proj", "k_proj", "down_proj"] };
const IDS = [3, 1, 4, 1, 5, 9, 2, 6];
const SEQUENCE = { inputIds: IDS, labels: IDS };

/** Values between ±1/2 by the tensor's name. */
const valuesOf = (name: string, size: number, seed: number) => {
  const random = createRandom(seed).fork(name);
  return Float32Array.from({ length: size }, () => random.uniform() - 0.5);
};

function fill(adapter: Adapter, seed: number): void {
  for (const { name, tensor } of adapter.parameters.entries) tensor.write(valuesOf(name, tensor.size, seed));
}

async function openPair() {
  const model = await openTestModel(fixturePath("llama-gqa"));
  const one = attach(model, lora({ r: 4, alpha: 6, ...TARGETS }), { name: "one" });
  const two = attach(model, lora({ r: 2, alpha: 5, ...TARGETS }), { name: "two" });
  fill(one, 1);
  fill(two, 2);
  return { model, one, two };
}

const logitsOf = (model: Model) => {
  const ids = fromArray(model.device, Uint32Array.from(IDS), [1, IDS.length]);
  return model.logits(model.hidden(ids, contextOf(ids))).read();
};

async function gradientsOf(model: Model, { parameters }: Adapter): Promise<Map<string, Float32Array>> {
  const optimizer = new Optimizer(parameters);
  const batch = collate([SEQUENCE]);
  accumulateGradients(languageModelling(model), parameters, optimizer.gradients, [batch], { seed: 0 });
  const entries = parameters.entries.map(
    async ({ name, tensor }) => [name, await optimizer.gradients.get(tensor)!.read()] as const,
  );
  return new Map(await Promise.all(entries));
}

/** One LoRA that is the sum of both: A is both A below each other, B both B beside each other, their scales in B. */
function attachSum({ model, one, two }: Awaited<ReturnType<typeof openPair>>) {
  const other = model.withAdapters([]);
  const sum = attach(other, lora({ r: 6, alpha: 6, ...TARGETS }));
  const [s1, s2] = [6 / 4, 5 / 2];
  for (const { name, tensor } of sum.parameters.entries) {
    const [a, b] = [one, two].map((adapter, i) => {
      const size = adapter.parameters.entries.find((entry) => entry.name === name)!.tensor.size;
      return valuesOf(name, size, i + 1);
    }) as [Float32Array, Float32Array];
    if (name.endsWith("lora_A")) tensor.write(Float32Array.from([...a, ...b]));
    else {
      const rows = a.length / 4;
      const row = (i: number) => [
        ...a.subarray(4 * i, 4 * i + 4).map((v) => s1 * v),
        ...b.subarray(2 * i, 2 * i + 2).map((v) => s2 * v),
      ];
      tensor.write(Float32Array.from(Array.from({ length: rows }, (_, i) => row(i)).flat()));
    }
  }
  return { other, sum };
}

test("two adapters add what each adds alone, as PEFT's active adapters do", async () => {
  const pair = await openPair();
  const { other, sum } = attachSum(pair);
  expect(await logitsOf(pair.model)).toBeClose(await logitsOf(other), 1e-5);
  const [stacked, joined] = [await gradientsOf(pair.model, pair.two), await gradientsOf(other, sum)];
  for (const [name, gradient] of stacked) {
    const all = joined.get(name)!;
    // In the sum, the second A is the last 2 of 6 rows; the second B, its scale in it, the last 2 of 6 columns.
    const own = name.endsWith("lora_A")
      ? all.subarray((all.length / 6) * 4)
      : all.filter((_, i) => i % 6 >= 4).map((v) => v * (5 / 2));
    expect(gradient, name).toBeClose(own, 1e-4);
  }
});

test("passes with other adapters take turns, and nothing is changed by them", async () => {
  const { model, one, two } = await openPair();
  const [base, first, second] = [[], [one], [two]].map((adapters) => model.withAdapters(adapters));
  const alone = await logitsOf(second!);
  const [b, f, s, both] = await Promise.all([base!, first!, second!, model].map(logitsOf));
  expect(s).toEqual(alone);
  expect(new Set([b, f, s, both].map(String)).size).toBe(4);
  two.enable(false);
  expect(await logitsOf(model)).toEqual(f);
  expect(await logitsOf(second!)).toEqual(alone);
  const ids = fromArray(model.device, new Uint32Array(1), [1, 1]);
  one.release();
  expect(await logitsOf(model)).toEqual(b);
  expect(await logitsOf(second!)).toEqual(alone);
  expect(() => first!.hidden(ids, contextOf(ids))).toThrow("adapter: one was released");
  two.release();
  two.release(); // once more does nothing
});

test("dropout of an adapter behind another acts in training alone, and repeats with its seed", async () => {
  const model = await openTestModel(fixturePath("llama-gqa"));
  const targets = { targetModules: ["o_proj"] };
  attach(model, lora({ r: 2, ...targets }), { name: "one" });
  const r = 32;
  const two = attach(model, lora({ r, alpha: r, dropout: 0.5, ...targets }), { name: "two" });
  const identity = Float32Array.from({ length: r * r }, (_, i) => (i % (r + 1) === 0 ? 1 : 0));
  for (const { tensor } of two.parameters.entries) tensor.write(identity);
  const x = fromArray(model.device, new Float32Array(2 * r).fill(1), [2, r]);
  const { module } = two.sites[0]!;
  const branch = async (training: boolean, seed: number) => {
    const context = { ...contextOf(x), training, seed, adapters: model.adapters.active };
    const [y, y0] = [await call(module, x, context).read(), await module.forward(x, context).read()];
    return y.map((value, i) => Math.round(value - y0[i]!));
  };
  expect([...(await branch(false, 1))]).toEqual(new Array(2 * r).fill(1));
  const dropped = await branch(true, 1);
  expect(new Set(dropped)).toEqual(new Set([0, 2]));
  expect(await branch(true, 1)).toEqual(dropped);
  expect(await branch(true, 2)).not.toEqual(dropped);
});

test("LoRA goes on top of the copy that another adapter trains", async () => {
  const model = await openTestModel(fixturePath("llama-gqa"));
  const whole = attach(model, lora({ targetModules: ["v_proj"], modulesToSave: ["layers.0.mlp.up_proj"] }));
  const low = attach(model, lora({ r: 2, targetModules: ["up_proj"] }), { name: "low" });
  fill(low, 3);
  const before = await logitsOf(model);
  const [copy] = whole.saved;
  copy!.tensors.weight!.write(new Float32Array(copy!.tensors.weight!.size)); // W = 0: LoRA alone is left
  const after = await logitsOf(model);
  expect(after).not.toEqual(before);
  const up = [...modules(model.root)].filter(isLinear).find(({ path }) => path.endsWith("0.mlp.up_proj"))!;
  const x = fromArray(model.device, new Float32Array(up.inFeatures).fill(1), [1, up.inFeatures]);
  const context = { ...contextOf(x), adapters: model.adapters.active };
  const alone = {
    ...context,
    adapters: { ...low, copies: new Map([[up, { weight: copy!.tensors.weight! }]]) },
  };
  expect(await call(up, x, context).read()).toEqual(await call(up, x, alone).read());
});

test("what can't be is refused by name", async () => {
  const { model, one, two } = await openPair();
  expect(() => attach(model, lora(), { name: "two" })).toThrow(
    'attach: the model has an adapter "two" already\n  → give this one a name, or release that one (or take it off) first',
  );
  expect(() => model.withAdapters([one, one])).toThrow('"one" is the name of two adapters');
  const whole = lora({ targetModules: ["v_proj"], modulesToSave: ["layers.0.input_layernorm"] });
  attach(model, whole);
  expect(() => attach(model, whole, { name: "again" })).toThrow(
    "model.layers.0.input_layernorm.weight is replaced by again and by another adapter of the list",
  );
  expect(model.adapters.all.map(({ name }) => name)).toEqual(["one", "two", "default"]);
  const learn = async (m: Model) => {
    for await (const _ of trainSequences(m, one.parameters, [SEQUENCE], { maxSteps: 1 }));
  };
  await expect(learn(model.withAdapters([two]))).rejects.toThrow("the adapter is off");
  await learn(model.withAdapters([one]));
});
