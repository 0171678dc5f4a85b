import { describe, expect, test } from "vitest";
import { fromArray } from "../../src/gpu/tensor.ts";
import { generateTokens } from "../../src/train/generate.ts";
import { generate } from "../../src/train/generate-text.ts";
import { contextOf } from "../support/context.ts";
import { testDevice } from "../support/device.ts";
import { openTestModel, readJsonFile, sharedPath } from "../support/fixtures.ts";

interface Stories {
  prompt_ids: number[];
  greedy_ids: number[];
  greedy_text: string;
  logits_pos0: number[];
  logits_last: number[];
}

const folder = sharedPath("models/stories260K");

// A real trained Llama: its text was computed by an independent f64 forward pass (golden.json).
describe.skipIf(!folder)("stories260K", () => {
  const golden = folder ? readJsonFile<Stories>(folder, "golden.json") : ({} as Stories);

  test("200 greedy tokens are the golden ones", async () => {
    const model = await openTestModel(folder as string);
    const ids: number[] = [...golden.prompt_ids];
    const maxNewTokens = golden.greedy_ids.length - golden.prompt_ids.length;
    for await (const id of generateTokens(model, golden.prompt_ids, { maxNewTokens })) ids.push(id);
    expect(ids).toEqual(golden.greedy_ids);
  });

  test("logits of the first and the last position agree within 1e-4", async () => {
    const device = await testDevice();
    const model = await openTestModel(folder as string);
    const ids = golden.greedy_ids;
    const input = fromArray(device, Uint32Array.from(ids), [1, ids.length]);
    const logits = await model.logits(model.hidden(input, contextOf(input))).read();
    const V = model.config.vocabSize;
    const worst = (at: number, want: number[]) =>
      Math.max(...want.map((value, i) => Math.abs(value - (logits[at * V + i] as number))));
    expect(worst(0, golden.logits_pos0)).toBeLessThan(1e-4);
    expect(worst(ids.length - 1, golden.logits_last)).toBeLessThan(1e-4);
  });

  test("streamed text is the golden text", async () => {
    const model = await openTestModel(folder as string);
    let text = "";
    for await (const piece of generate(model, "", { maxNewTokens: 60 })) text += piece;
    expect(text.length).toBeGreaterThan(100);
    expect(golden.greedy_text.startsWith(text.trimStart())).toBe(true);
  });
});
