import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Adapter } from "../../src/adapters/adapter.ts";
import { attach } from "../../src/adapters/adapter.ts";
import { lnTuning } from "../../src/adapters/ln-tuning/ln-tuning.ts";
import { promptTuning } from "../../src/adapters/prompts/prompt-tuning.ts";
import { fromArray } from "../../src/gpu/tensor.ts";
import { castToFloat } from "../../src/kernels/cast.ts";
import { loadAdapter } from "../../src/load/adapter.ts";
import { convertToLora } from "../../src/load/convert/to-lora.ts";
import { readPeftAdapter } from "../../src/load/lora-files.ts";
import type { Model } from "../../src/load/model.ts";
import { placeTokens, wholeRows } from "../../src/nn/geometry.ts";
import { isLinear } from "../../src/nn/linear.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { filesOf } from "../io/helpers.ts";
import { fixturePath, openTestModel } from "../support/fixtures.ts";

const IDS = [5, 17, 3, 42, 8, 1];
let model: Model;
beforeAll(async () => {
  model = await openTestModel(fixturePath("llama-gqa"));
});
afterAll(() => model.release());

async function logits(): Promise<Float32Array> {
  const input = fromArray(model.device, Uint32Array.from(IDS), [1, IDS.length]);
  const geometry = placeTokens(model.device, wholeRows(1, IDS.length));
  return model.logits(model.hidden(input, { training: false, seed: 0, geometry })).read();
}

const far = (a: Float32Array, b: Float32Array) => Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));

describe.each(["dora", "ia3", "loha", "lokr", "lokr-both", "vera", "adalora"])("%s", (name) => {
  let adapter: Adapter;
  beforeAll(async () => {
    adapter = await loadAdapter(model, folderFiles(fixturePath(`methods/${name}`)));
  });
  afterAll(() => adapter.release());

  test("is LoRA of a rank that is large enough, and near it at a lower one", async () => {
    const [wanted, exact] = [await logits(), await convertToLora(model, adapter, { rank: 64 })];
    expect(Math.max(...exact.layers.map(({ error }) => error))).toBeLessThan(1e-6);
    const share = await convertToLora(model, adapter, { rank: 0.999 });
    const low = await convertToLora(model, adapter, { rank: 1 });
    for (const [i, { path, r, error }] of share.layers.entries()) {
      expect(error, path).toBeLessThanOrEqual(Math.sqrt(0.001));
      expect(r).toBeLessThanOrEqual(exact.layers[i]!.r);
      expect(low.layers[i]!.error).toBeGreaterThanOrEqual(error - 1e-6);
    }
    adapter.enable(false);
    const plain = await logits();
    const made = await loadAdapter(model, filesOf(Object.fromEntries(exact.files)));
    expect(made.method.type).toBe("LORA");
    const got = await logits();
    made.release();
    expect(far(got, plain)).toBeGreaterThan(1e-3);
    expect(far(got, wanted)).toBeLessThan(1e-4);
    adapter.enable(true);
  });

  test("has the error that is told", async () => {
    const { files, layers } = await convertToLora(model, adapter, { rank: 2 });
    const { tensors } = await readPeftAdapter(filesOf(Object.fromEntries(files)));
    const { path, error } = layers.at(-1)!;
    const site = adapter.sites.find(({ module }) => module.path === path)!;
    if (!isLinear(site.module)) throw new Error("no linear layer");
    const merged = await adapter.method.merge!(site, adapter.shared, {}).weight!().read();
    const before = await castToFloat(site.module.weight).read();
    const { lora_A, lora_B, r, scale } = tensors.get(path)!;
    const [, width = 0] = lora_A.shape;
    let [lost, all] = [0, 0];
    merged.forEach((value, i) => {
      const [row, column] = [Math.floor(i / width), i % width];
      let own = 0;
      for (let k = 0; k < r; k++) own += scale * lora_B.data[row * r + k]! * lora_A.data[k * width + column]!;
      const delta = value - before[i]!;
      lost += (delta - own) ** 2;
      all += delta ** 2;
    });
    expect(Math.sqrt(lost / all)).toBeCloseTo(error, 4);
  });
});

test("what changes no weights of linear layers is refused, and a rank that is none", async () => {
  const norms = attach(model, lnTuning(), { name: "norms" });
  await expect(convertToLora(model, norms, { rank: 2 })).rejects.toThrow(
    /norm is no linear layer[\s\S]*merge the adapter instead/,
  );
  await expect(convertToLora(model, norms, { rank: 1.5 })).rejects.toThrow(
    "wanted a whole number, or a share",
  );
  norms.release();
  const prompt = attach(model, promptTuning({ numVirtualTokens: 2 }), { name: "prompt" });
  await expect(convertToLora(model, prompt, { rank: 2 })).rejects.toThrow("PROMPT_TUNING changes no weights");
  prompt.release();
});
