// Branches that add to the residual stream themselves give what they give where somebody looks on, and they cannot.
import { expect, test } from "vitest";
import { packRows } from "../../src/data/batch.ts";
import { fromArray, scoped } from "../../src/gpu/tensor.ts";
import { panelProducts } from "../../src/kernels/few-rows.ts";
import { type LanguageModel, requireTask } from "../../src/models/model.ts";
import { fixturePath } from "../support/fixtures.ts";
import { openTestTask } from "../support/task-fixtures.ts";

/** The hidden states of one more token of a text, and what they cost. */
async function hidden(model: LanguageModel, isWatched: boolean) {
  const { device } = model;
  const cache = model.newCache(8);
  const read = (row: number[]) => {
    const batch = packRows([[row]], { padToMultipleOf: 1 });
    const geometry = cache.place(batch);
    const watch = isWatched ? { watch: () => {} } : {};
    const ids = fromArray(device, batch.inputIds, [batch.batchSize, batch.length]);
    const states = model.hidden(ids, { training: false, seed: 0, cache, geometry, ...watch });
    cache.extend(geometry);
    return states;
  };
  const { dispatches } = device.stream;
  const last = scoped(device, () => {
    read([5, 17, 3]);
    return read([8]);
  });
  const spent = device.stream.dispatches - dispatches;
  const values = await last.read();
  device.memory.release(last.storage);
  cache.release();
  return { values, spent };
}

test.each([
  ["llama-gqa", true],
  ["llama-tied", true],
  ["families/qwen2", true],
  ["families/phi3", true],
  ["families/gemma", true],
  ["families/gemma3", false], // norms behind the branches
])("%s", async (name, adds) => {
  const model = requireTask(await openTestTask(fixturePath(name)), "causal-lm");
  const x = fromArray(model.device, new Float32Array(8), [1, 8]);
  for (const isWatched of [false, true]) await hidden(model, isWatched); // copies of weights are made
  const [own, watched] = [await hidden(model, false), await hidden(model, true)];
  expect(own.values).toBeClose(watched.values, 1e-5);
  if (adds && panelProducts(x)) expect(own.spent).toBeLessThan(watched.spent);
  model.device.memory.release(x.storage);
  model.release();
});
