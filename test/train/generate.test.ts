import { describe, expect, test } from "vitest";
import { fromArray } from "../../src/gpu/tensor.ts";
import { generateTokens, type TokenOptions } from "../../src/train/generate.ts";
import { generate } from "../../src/train/generate-text.ts";
import { fixturePath, openTestModel } from "../support/fixtures.ts";

const folder = fixturePath("llama-gqa");
const prompt = [5, 17, 3];

async function tokens(options: TokenOptions, ids = prompt): Promise<number[]> {
  const model = await openTestModel(folder);
  const result: number[] = [];
  try {
    for await (const id of generateTokens(model, ids, options)) result.push(id);
  } finally {
    model.release();
  }
  return result;
}

describe("generateTokens", () => {
  test("the cache changes nothing: each token is the greedy continuation of all before", async () => {
    const all = await tokens({ maxNewTokens: 6 });
    expect(all.length).toBe(6);
    for (let n = 1; n < all.length; n++) {
      expect(await tokens({ maxNewTokens: 1 }, [...prompt, ...all.slice(0, n)])).toEqual([all[n]]);
    }
  });

  test("a seed repeats the text, another gives another", async () => {
    const options = { maxNewTokens: 12, temperature: 1.5 };
    expect(await tokens({ ...options, seed: 4 })).toEqual(await tokens({ ...options, seed: 4 }));
    expect(await tokens({ ...options, seed: 4 })).not.toEqual(await tokens({ ...options, seed: 5 }));
  });

  test("ends at an end-of-text token, which is not returned, and at the model's last position", async () => {
    const [first, second] = await tokens({ maxNewTokens: 2 });
    expect(await tokens({ maxNewTokens: 5, eosTokenIds: [second!] })).toEqual(
      first === second ? [] : [first],
    );
    const long = Array.from({ length: 125 }, (_, i) => i % 97);
    expect((await tokens({ maxNewTokens: 50 }, long)).length).toBe(3);
  });

  test.each([0, 1])(
    "ends with an error where the scores are no numbers, at temperature %d",
    async (temperature) => {
      const model = await openTestModel(folder);
      const { vocabSize } = model.config;
      const scores = Float32Array.from({ length: vocabSize }, (_, id) => (id === 3 ? Number.NaN : id));
      const broken = { ...model, logits: () => fromArray(model.device, scores, [1, vocabSize]) };
      const next = generateTokens(broken, prompt, { temperature }).next();
      await expect(next).rejects.toThrow(/NaN or infinite[\s\S]*without the adapter/);
      model.release();
    },
  );

  test("a further token needs no new bind group, nor more memory", async () => {
    const model = await openTestModel(folder);
    const { kernels, memory } = model.device;
    const poison = memory.onRelease;
    memory.onRelease = undefined; // filling freed buffers with NaN is not the model's work
    const seen: { bound: number; reserved: number }[] = [];
    for await (const _ of generateTokens(model, prompt, { maxNewTokens: 40 }))
      seen.push({ bound: kernels.bound, reserved: memory.stats.reserved });
    memory.onRelease = poison;
    const settled = seen.slice(3);
    expect(settled.every(({ bound }) => bound === settled[0]!.bound)).toBe(true);
    expect(Math.max(...settled.map(({ reserved }) => reserved))).toBeLessThanOrEqual(settled[0]!.reserved);
    model.release();
  });

  test("frees its cache, also when the caller stops early", async () => {
    const model = await openTestModel(folder);
    const stopEarly = async () => {
      for await (const id of generateTokens(model, prompt)) if (id >= 0) break;
    };
    await stopEarly(); // the tables of the rotary embedding are made once and stay with the model
    const before = model.device.memory.stats.used;
    await stopEarly();
    expect(model.device.memory.stats.used).toBe(before);
  });

  test("refuses an empty prompt, one that is too long, alien ids, and text without a tokenizer", async () => {
    await expect(tokens({}, [])).rejects.toThrow("the prompt has no tokens");
    await expect(tokens({}, new Array(128).fill(1))).rejects.toThrow(
      "128 tokens; the model has 128 positions",
    );
    for (const alien of [97, -1, 1.5, Number.NaN]) {
      await expect(tokens({}, [1, alien])).rejects.toThrow(
        `the prompt has promptIds[1] ${alien}, wanted a whole number from 0 to 96`,
      );
    }
    const model = await openTestModel(folder);
    await expect(generate(model, "text").next()).rejects.toThrow("has no tokenizer.json");
  });
});
