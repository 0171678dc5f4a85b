// Adapters that differ from row to row: each row is what it is in a batch of its own.
import { expect, test } from "vitest";
import { type Adapter, attach } from "../../src/adapters/adapter.ts";
import { ia3 } from "../../src/adapters/ia3/ia3.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { one as seedOf, Tape } from "../../src/autograd/tape.ts";
import { fromArray, type Tensor } from "../../src/gpu/tensor.ts";
import { zeros } from "../../src/kernels/elementwise.ts";
import type { Model } from "../../src/load/model.ts";
import type { NamedAdaptation } from "../../src/nn/adapter-list.ts";
import { leavesOf } from "../../src/nn/parameters.ts";
import { languageModelling } from "../../src/train/language-modelling.ts";
import { Optimizer } from "../../src/train/optimizer.ts";
import { accumulateGradients } from "../../src/train/pass.ts";
import { createRandom } from "../../src/util/random.ts";
import { relativeNormError } from "../support/compare.ts";
import { contextOf } from "../support/context.ts";
import { fixturePath, openTestModel } from "../support/fixtures.ts";
import { collate } from "../support/layouts.ts";

const ROWS = [
  [3, 1, 4, 1, 5, 9],
  [2, 7, 1, 8, 2, 8],
  [1, 4, 1, 4, 2, 1],
  [9, 9, 9, 1, 2, 3],
  [5, 5, 7, 7, 1, 1],
  [6, 2, 8, 3, 1, 8],
];

function fill({ parameters }: Adapter, seed: number): void {
  for (const { name, tensor } of parameters.entries) {
    const random = createRandom(seed).fork(name);
    tensor.write(Float32Array.from({ length: tensor.size }, () => random.uniform() - 0.4));
  }
}

async function openAll() {
  const model = await openTestModel(fixturePath("llama-gqa"));
  const one = attach(model, lora({ r: 4, alpha: 6, targetModules: ["q_proj", "down_proj"] }), {
    name: "one",
  });
  const two = attach(model, lora({ r: 2, alpha: 5 }), { name: "two" });
  const factors = attach(
    model,
    ia3({ targetModules: ["k_proj", "down_proj"], feedforwardModules: ["down_proj"] }),
    { name: "factors" },
  );
  const copies = attach(
    model,
    lora({
      r: 2,
      targetModules: ["v_proj"],
      modulesToSave: ["layers.0.input_layernorm", "layers.1.mlp.up_proj"],
    }),
    { name: "copies" },
  );
  const all: [Adapter, Adapter, Adapter, Adapter] = [one, two, factors, copies];
  for (const [i, adapter] of all.entries()) fill(adapter, i + 1);
  const chosen: NamedAdaptation[][] = [
    [one],
    [],
    [two, factors],
    [one.scaled(-0.5)],
    [copies, one],
    [two, factors],
  ];
  return { model, all, chosen };
}

const idsOf = ({ device }: Model, rows: readonly number[][]) =>
  fromArray(device, Uint32Array.from(rows.flat()), [rows.length, rows[0]!.length]);

async function statesOf(model: Model, rows: readonly number[][]): Promise<Float32Array> {
  const ids = idsOf(model, rows);
  return model.hidden(ids, contextOf(ids)).read();
}

test("each row is what it is alone with its adapters, whatever their methods, ranks and strengths", async () => {
  const { model, chosen } = await openAll();
  const alone = await Promise.all(
    chosen.map((adapters, i) => statesOf(model.withAdapters(adapters), [ROWS[i]!])),
  );
  const together = await statesOf(model.withRowAdapters(chosen), ROWS);
  const size = together.length / ROWS.length;
  for (const [i, states] of alone.entries()) {
    expect(together.subarray(i * size, (i + 1) * size), `row ${i}`).toBeClose(states, 1e-5);
  }
  expect(new Set(alone.map(String)).size).toBe(ROWS.length);
});

test("one choice for all rows is that choice", async () => {
  const { model, chosen } = await openAll();
  const [first = []] = chosen;
  const rows = ROWS.slice(0, 2);
  expect(await statesOf(model.withRowAdapters([first, first]), rows)).toEqual(
    await statesOf(model.withAdapters(first), rows),
  );
});

async function gradientsOf(
  model: Model,
  { parameters }: Adapter,
  rows: readonly number[][],
  checkpoint: boolean,
) {
  const optimizer = new Optimizer(parameters);
  const batch = collate(rows.map((row) => ({ inputIds: row, labels: row })));
  const options = { seed: 0, checkpoint };
  accumulateGradients(languageModelling(model), parameters, optimizer.gradients, [batch], options);
  const entries = parameters.entries.map(
    async ({ name, tensor }) => [name, await optimizer.gradients.get(tensor)!.read()] as const,
  );
  return new Map(await Promise.all(entries));
}

test.each([false, true])("an adapter learns from its own rows (checkpoints: %s)", async (checkpoint) => {
  const { model, all } = await openAll();
  const [one, two, factors, copies] = all;
  const chosen = [[one], [], [two, factors], [copies], [one], [two, factors]];
  const mixed = model.withRowAdapters(chosen);
  for (const adapter of all) {
    const own = chosen.flatMap((adapters, i) => (adapters.some((other) => other === adapter) ? [i] : []));
    const alone = model.withAdapters(chosen[own[0]!]!);
    const wanted = await gradientsOf(
      alone,
      adapter,
      own.map((i) => ROWS[i]!),
      checkpoint,
    );
    const got = await gradientsOf(mixed, adapter, ROWS, checkpoint);
    for (const [name, gradient] of wanted) {
      expect(
        gradient.some((value) => value !== 0),
        name,
      ).toBe(true);
      expect(got.get(name), `${adapter.name} ${name}`).toBeClose(gradient, 1e-4);
    }
  }
});

test("one pass teaches several adapters at once what passes of their own do", async () => {
  const { model, all } = await openAll();
  const [one, two, factors] = all;
  const chosen = [[one], [], [two, factors], [one.scaled(-0.5)], [one], [two]];
  const trained = [one, two, factors];
  const batch = collate(ROWS.map((row) => ({ inputIds: row, labels: row })));
  const gradients = new Map<Tensor, Tensor>();
  for (const { parameters } of trained)
    for (const leaf of leavesOf(parameters)) gradients.set(leaf, zeros(model.device, leaf.shape));
  const tape = new Tape();
  for (const leaf of gradients.keys()) tape.watch(leaf);
  const objective = languageModelling(model.withRowAdapters(chosen));
  const loss = objective.loss(batch, { tape, training: true, seed: 0 });
  tape.backward(loss, seedOf(model.device), gradients);
  for (const adapter of trained) {
    // What its rows teach it, one by one.
    const sums = new Map<string, Float32Array>();
    for (const [i, adapters] of chosen.entries()) {
      if (!adapters.some(({ name }) => name === adapter.name)) continue;
      const own = await gradientsOf(model.withAdapters(adapters), adapter, [ROWS[i]!], false);
      for (const [name, gradient] of own)
        sums.set(
          name,
          gradient.map((value, k) => value + (sums.get(name)?.[k] ?? 0)),
        );
    }
    for (const { name, tensor } of adapter.parameters.entries) {
      expect(
        sums.get(name)!.some((value) => value !== 0),
        name,
      ).toBe(true);
      const got = await gradients.get(tensor)!.read();
      expect(relativeNormError(got, sums.get(name)!), `${adapter.name} ${name}`).toBeLessThan(1e-4);
    }
  }
});

test("what can't be is refused by name", async () => {
  const { model, all } = await openAll();
  const [one] = all;
  const mixed = model.withRowAdapters([[one], []]);
  await expect(statesOf(mixed, ROWS)).rejects.toThrow(
    "withRowAdapters: the batch has 6 rows, and adapters are chosen for 2\n  → give a list of adapters for each row; [] is the base model",
  );
  expect(() => model.withRowAdapters([])).toThrow("withRowAdapters: there are no rows");
  expect(() => model.withRowAdapters([[one, one]])).toThrow('"one" is the name of two adapters');
  expect(() => attach(mixed, lora(), { name: "new" })).toThrow("this model's adapters are chosen row by row");
  one.release();
  await expect(statesOf(mixed, ROWS.slice(0, 2))).rejects.toThrow("adapter: one was released");
});

test("another adapter, and another choice of rows, needs no new pipeline and waits for no other work", async () => {
  const { model, all } = await openAll();
  const [one, two] = all;
  const { kernels } = model.device;
  await statesOf(model.withAdapters([two]), ROWS);
  const before = kernels.compiled;
  const hot = attach(model.withAdapters([]), lora({ r: 2, alpha: 5 }), { name: "hot" });
  fill(hot, 9);
  const passes = [two, hot].map((adapter) => statesOf(model.withAdapters([adapter]), ROWS)); // the first still runs
  const [first, second] = await Promise.all(passes);
  expect(first).not.toEqual(second);
  expect(kernels.compiled).toBe(before);

  await statesOf(model.withRowAdapters([[one], [two], [], [one], [two], []]), ROWS);
  const mixed = kernels.compiled;
  await statesOf(model.withRowAdapters([[hot], [], [two], [], [hot], [two]]), ROWS);
  expect(kernels.compiled).toBe(mixed);
});
