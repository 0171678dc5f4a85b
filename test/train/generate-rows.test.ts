// Answers through adapters of their own, side by side, are those that are written one by one.
import { afterAll, expect, test } from "vitest";
import { type Adapter, attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import type { NamedAdaptation } from "../../src/nn/adapter-list.ts";
import { type BatchOptions, generateBatch } from "../../src/train/generate-batch.ts";
import { generate } from "../../src/train/generate-text.ts";
import { createRandom } from "../../src/util/random.ts";
import { BUNDLED_MODEL, openTestModel } from "../support/fixtures.ts";

const model = await openTestModel(BUNDLED_MODEL);
afterAll(() => model.release());

function attachFilled(name: string, r: number, seed: number): Adapter {
  const adapter = attach(model, lora({ r, targetModules: ["q_proj", "v_proj", "down_proj"] }), { name });
  for (const { name, tensor } of adapter.parameters.entries) {
    const random = createRandom(seed).fork(name);
    tensor.write(Float32Array.from({ length: tensor.size }, () => 0.1 * (random.uniform() - 0.5)));
  }
  return adapter;
}

const PROMPTS = ["In the morning", "In the morning", "Tom", "The", "In the morning", "Who"];

async function together(options: BatchOptions): Promise<string[]> {
  const texts = PROMPTS.map(() => "");
  for await (const { index, piece } of generateBatch(model, PROMPTS, options)) texts[index] += piece;
  return texts;
}

test("each prompt is answered through its own adapters", async () => {
  const [one, two] = [attachFilled("one", 4, 1), attachFilled("two", 2, 2)];
  const adapters: NamedAdaptation[][] = [[one], [], [two, one], [two], [two.scaled(-1)], []];
  const alone: string[] = [];
  for (const [i, prompt] of PROMPTS.entries()) {
    let text = "";
    const chosen = model.withAdapters(adapters[i]!);
    for await (const piece of generate(chosen, prompt, { maxNewTokens: 10, seed: i })) text += piece;
    alone.push(text);
  }
  for (const batchSize of [2, 6]) {
    expect(await together({ maxNewTokens: 10, adapters, batchSize })).toEqual(alone);
  }
  expect(new Set([alone[0], alone[1], alone[4]]).size).toBe(3);
  await expect(together({ adapters: [[one]] })).rejects.toThrow(
    "generateBatch: adapters are given for 1 prompts, and there are 6\n  → give a list of adapters for each prompt; [] is the base model",
  );
});
