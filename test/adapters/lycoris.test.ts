// What the contract does not ask of LoHa and LoKr: dropout, refusals, files that contradict themselves.
import { expect, test } from "vitest";
import { type Adapter, attach } from "../../src/adapters/adapter.ts";
import { loha } from "../../src/adapters/lycoris/loha.ts";
import { factorPair, lokr } from "../../src/adapters/lycoris/lokr.ts";
import { memoryFiles } from "../../src/io/files/files.ts";
import { adapterFiles, loadAdapter } from "../../src/load/adapter.ts";
import { call } from "../../src/nn/module.ts";
import { contextOf } from "../support/context.ts";
import { floats } from "../support/device.ts";
import { fixturePath, openTestModel } from "../support/fixtures.ts";
import { wholeFiles } from "../support/merged-cases.ts";

const LLAMA = fixturePath("llama-gqa");
const targetModules = ["q_proj"]; // 32 → 32 in this fixture

/** The update of a layer at some inputs, by rows, in training with this seed. */
async function updateAt(adapter: Adapter, seed: number, layer = 0): Promise<Float32Array> {
  const { module } = adapter.sites[layer]!;
  const { device, adapters } = adapter.base;
  const x = floats(
    device,
    Float32Array.from({ length: 3 * 32 }, (_, i) => Math.sin(i)),
    [3, 32],
  );
  const context = { ...contextOf(x), training: true, seed, adapters: adapters.active };
  const [adapted, base] = [call(module, x, context), module.forward(x, context)];
  const [y, y0] = [await adapted.read(), await base.read()];
  return y.map((value, i) => value - y0[i]!);
}

test("rankDropout leaves outputs out, and scales the others up by their share", async () => {
  const model = await openTestModel(LLAMA);
  const whole = attach(model, loha({ targetModules, initWeights: false }));
  const wanted = await updateAt(whole, 1);
  whole.release();
  const adapter = attach(model, loha({ targetModules, initWeights: false, rankDropout: 0.5 }));
  const update = await updateAt(adapter, 1);
  const kept = [...update.keys()].filter((i) => update[i] !== 0).map((i) => i % 32);
  const outputs = new Set(kept);
  expect(kept.length).toBe(3 * outputs.size); // the same for every row
  expect(outputs.size).toBeGreaterThan(4);
  expect(outputs.size).toBeLessThan(28);
  expect(update).toBeClose(
    wanted.map((value, i) => (outputs.has(i % 32) ? (value * 32) / outputs.size : 0)),
    1e-4,
  );
  expect(await updateAt(adapter, 1)).toEqual(update);
  expect(await updateAt(adapter, 2)).not.toEqual(update);
});

test("moduleDropout leaves whole updates out", async () => {
  const model = await openTestModel(LLAMA);
  const adapter = attach(model, loha({ targetModules, initWeights: false, moduleDropout: 0.5 }));
  const updates = await Promise.all([...Array(20).keys()].map((seed) => updateAt(adapter, seed)));
  const left = updates.filter((update) => update.every((value) => value === 0)).length;
  expect(left).toBeGreaterThan(2);
  expect(left).toBeLessThan(18);
});

test("layers that PEFT has no such adapter for are refused", async () => {
  const model = await openTestModel(fixturePath("tasks/gpt2"));
  expect(() => attach(model, loha())).toThrow(/PEFT has no loha of Conv1D layers.*take lora/s);
  expect(() => loha({ rankPattern: { q_proj: 0 } })).toThrow('rankPattern["q_proj"] is 0');
});

test("files that contradict themselves or the model are refused with all that is wrong", async () => {
  const adapter = attach(await openTestModel(LLAMA), loha({ r: 2, targetModules: ["q_proj", "k_proj"] }));
  const files = await wholeFiles(await adapterFiles(adapter));
  const config = JSON.parse(new TextDecoder().decode(files.get("adapter_config.json")));
  const load = async (changes: object, tensors = files.get("adapter_model.safetensors")!) => {
    const text = JSON.stringify({ ...config, ...changes });
    const changed = new Map([
      ["adapter_config.json", new TextEncoder().encode(text)],
      ["adapter_model.safetensors", tensors],
    ]);
    return loadAdapter(await openTestModel(LLAMA), memoryFiles("edited", changed));
  };
  await expect(load({ r: 4 })).rejects.toThrow("the rank differs from r and rank_pattern");
  await expect(load({ alpha_pattern: { q_proj: "x" }, rank_dropout: 1 })).rejects.toThrow(
    /rank_dropout is 1.*alpha_pattern\["q_proj"\]/s,
  );
  const renamed = new TextDecoder("latin1").decode(files.get("adapter_model.safetensors"));
  const spoilt = renamed.replace(
    "layers.0.self_attn.q_proj.hada_w1_a",
    "layers.0.self_attn.q_proj.hada_t1__",
  );
  await expect(load({}, Buffer.from(spoilt, "latin1"))).rejects.toThrow("without hada_w1_a");
});

// PEFT 0.21, tuners/lokr/layer.py `factorization`: size, factor, the pair.
test.each([
  [256, -1, 16, 16],
  [128, -1, 8, 16],
  [127, -1, 1, 127],
  [128, 4, 4, 32],
  [360, -1, 18, 20],
  [12, 5, 3, 4],
  [14, 5, 2, 7],
  [2048, 8, 8, 256],
  [12, 0, 1, 12],
  [32, 16, 16, 2],
])("LoKr's pair of %i with factor %i is %i × %i", (size, factor, first, second) => {
  expect(factorPair(size, factor)).toEqual([first, second]);
});

test("LoKr begins as zero by either matrix, or not at all", async () => {
  const model = await openTestModel(LLAMA);
  for (const [initWeights, isZero] of [
    [true, true],
    ["lycoris", true],
    [false, false],
  ] as const) {
    const adapter = attach(model, lokr({ r: 2, targetModules, initWeights }));
    const update = await updateAt(adapter, 1);
    expect(
      update.every((value) => value === 0),
      String(initWeights),
    ).toBe(isZero);
    adapter.release();
  }
});

test("LoKr's rankDropout scales nothing unless asked", async () => {
  const model = await openTestModel(LLAMA);
  const options = { targetModules, initWeights: false } as const;
  const whole = attach(model, lokr(options));
  const wanted = await updateAt(whole, 1);
  whole.release();
  const adapter = attach(model, lokr({ ...options, rankDropout: 0.5 }));
  const update = await updateAt(adapter, 1);
  expect(update).toBeClose(
    wanted.map((value, i) => (update[i] === 0 ? 0 : value)),
    1e-4,
  );
  expect(update.filter((value) => value === 0).length).toBeGreaterThan(0);
});

test("LoKr's files whose matrices are not those of the configuration are refused", async () => {
  const adapter = attach(await openTestModel(LLAMA), lokr({ r: 1, targetModules, decomposeFactor: 2 }));
  const files = await wholeFiles(await adapterFiles(adapter));
  const config = JSON.parse(new TextDecoder().decode(files.get("adapter_config.json")));
  const load = async (changes: object) => {
    const text = new TextEncoder().encode(JSON.stringify({ ...config, ...changes }));
    const changed = new Map([...files, ["adapter_config.json", text] as const]);
    return loadAdapter(await openTestModel(LLAMA), memoryFiles("edited", changed));
  };
  await expect(load({ decompose_factor: 4 })).rejects.toThrow(
    /q_proj: lokr_w1 \[2,2\].*the configuration means lokr_w1 \[4,4\].*set r, rank_pattern, decompose_factor/s,
  );
  await expect(load({ r: 3 })).rejects.toThrow("the rank differs from r and rank_pattern");
  await expect(load({ init_weights: "zeros" })).rejects.toThrow('expected true, false or "lycoris"');
  expect((await load({})).sites.length).toBe(2);
});
