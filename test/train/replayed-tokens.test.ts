// Tokens whose passes are launched as those of the token before were: the same bits as passes that the host goes through anew.
import { afterEach, beforeEach, expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import type { Device } from "../../src/gpu/device.ts";
import { Replay } from "../../src/gpu/replay.ts";
import { readAndRelease } from "../../src/gpu/tensor.ts";
import { createModel } from "../../src/load/create.ts";
import { type LanguageModel, requireTask } from "../../src/models/model.ts";
import { TextCache } from "../../src/train/text-cache.ts";
import { testDevice } from "../support/device.ts";
import { fixturePath } from "../support/fixtures.ts";
import { HostLaunches } from "../support/launches.ts";
import { openTestTask } from "../support/task-fixtures.ts";

let device: Device;
let launches: HostLaunches;

beforeEach(async () => {
  device = await testDevice();
  launches = new HostLaunches(device);
});
afterEach(() => {
  launches.undo();
});

/** Texts that a replaying cache and one that does all anew go on with, and what they give. */
class Pair {
  readonly caches: readonly [TextCache, TextCache];
  readonly texts: number[][];

  constructor(model: LanguageModel, texts: readonly (readonly number[])[], capacity: number) {
    this.caches = [new TextCache(model), new TextCache(model)];
    this.caches[0].replay = new Replay(device);
    this.texts = texts.map((ids) => [...ids]);
    for (const cache of this.caches) cache.open(texts.length, capacity);
  }

  /** Both read what is new, through `model`; whether the first one replayed it. */
  async step(model: LanguageModel): Promise<boolean> {
    const [replaying, plain] = this.caches;
    const poison = device.memory.onRelease;
    device.memory.onRelease = undefined; // fills what is released by launches of its own
    const before = launches.count;
    const [got] = await readAndRelease(device, () => [replaying.scores(this.texts, model)]);
    const isReplayed = launches.count === before;
    device.memory.onRelease = poison;
    const [want] = await readAndRelease(device, () => [plain.scores(this.texts, model)]);
    expect(Buffer.from(got as ArrayBuffer).equals(Buffer.from(want as ArrayBuffer))).toBe(true);
    for (const [row, ids] of this.texts.entries()) ids.push((7 * ids.length + row) % 50);
    return isReplayed;
  }

  /** Several of them, as a line of `r` for those that were replayed. */
  async steps(model: LanguageModel, count: number): Promise<string> {
    let line = "";
    for (let i = 0; i < count; i++) line += (await this.step(model)) ? "r" : "-";
    return line;
  }

  release(): void {
    for (const cache of this.caches) cache.release();
  }
}

const open = async (name: string) => requireTask(await openTestTask(fixturePath(name)), "causal-lm");

test.each([
  ["llama-gqa", true],
  ["families/qwen3", true],
  ["families/gemma3", true], // two rotary embeddings
  ["families/phi3", true], // other angles from a length on
  ["families/qwen3-moe", true],
])("%s", async (name, isReplayed) => {
  const model = await open(name);
  const pair = new Pair(model, [[5, 17, 3]], 24);
  const line = await pair.steps(model, 16);
  expect(line.slice(0, 2)).toBe("--"); // the prompt, and the token whose pass is recorded
  expect(line.endsWith("rrr")).toBe(isReplayed);
  pair.release();
  model.release();
});

test("a rotary table that grows is looked up anew", async () => {
  const { model } = createModel(device, {
    ...{ architectures: ["LlamaForCausalLM"], vocab_size: 64, hidden_size: 32, intermediate_size: 64 },
    ...{ num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 1, max_position_embeddings: 300 },
    ...{ rms_norm_eps: 1e-5, rope_theta: 10000 },
  });
  const pair = new Pair(model, [Array.from({ length: 250 }, (_, i) => i % 50)], 300);
  const line = await pair.steps(model, 13);
  expect(line.slice(0, 7)).toMatch(/^--r+$/);
  expect(line[7]).toBe("-"); // 257 tokens
  expect(line.endsWith("rr")).toBe(true);
  pair.release();
  model.release();
});

test("adapters that come, change their factor, act on certain tokens or rows, and go", async () => {
  const model = await open("llama-gqa");
  const pair = new Pair(model, [[5, 17, 3]], 64);
  expect(await pair.steps(model, 4)).toBe("--rr");
  const adapter = attach(model, lora({ r: 2, targetModules: "all-linear" }));
  for (const { tensor } of adapter.parameters.entries) tensor.write(new Float32Array(tensor.size).fill(0.02));
  expect((await pair.steps(model, 4)).startsWith("-")).toBe(true);
  const factors = [0.5, 3].map((factor) => model.withAdapters([adapter.scaled(factor)]));
  for (const scaled of factors) expect((await pair.steps(scaled, 3)).startsWith("-")).toBe(true);
  for (const { tensor } of adapter.parameters.entries)
    tensor.write(new Float32Array(tensor.size).fill(-0.03));
  await pair.steps(model, 3); // trained on in between: the same buffers
  expect(await pair.steps(model.withRowAdapters([[adapter]]), 3)).toBe("---");
  adapter.release();
  await pair.steps(model, 4); // what was recorded before the adapter came is true again
  pair.release();
  model.release();
});

test("rows that leave, and a cache that is opened anew", async () => {
  const model = await open("llama-gqa");
  const pair = new Pair(model, [[5, 17, 3], [9, 9, 1], [2, 4, 8]], 64); // biome-ignore format: rows
  expect((await pair.steps(model, 4)).endsWith("r")).toBe(true);
  for (const cache of pair.caches) cache.keep([2, 0]);
  pair.texts.splice(0, 3, ...[2, 0].map((row) => pair.texts[row] as number[]));
  expect((await pair.steps(model, 4)).startsWith("-")).toBe(true);
  for (const cache of pair.caches) cache.open(2, 40);
  expect((await pair.steps(model, 4)).startsWith("--")).toBe(true);
  pair.release();
  model.release();
});

test("a model that was given other functions is gone through for each token", async () => {
  const model = await open("llama-gqa");
  const pair = new Pair(model, [[5, 17, 3]], 24);
  const wrapped: LanguageModel = { ...model, logits: (hidden, context) => model.logits(hidden, context) };
  expect(await pair.steps(wrapped, 5)).toBe("-----");
  pair.release();
  model.release();
});
