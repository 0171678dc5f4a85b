// Files of AdaLoRA, OFT, BEFT and P-tuning that contradict themselves, ask for more, or are of another model.
import { expect, test } from "vitest";
import { memoryFiles } from "../../src/io/files/files.ts";
import { loadAdapter } from "../../src/load/adapter.ts";
import { readStoredAdapter } from "../../src/load/stored-adapter.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { fixturePath, openTestModel, readJsonFile } from "../support/fixtures.ts";

const TENSORS = "adapter_model.safetensors";

/** A fixture's adapter with other values in its configuration. */
async function edited(fixture: string, edits: object) {
  const folder = fixturePath(`methods/${fixture}`);
  const files = folderFiles(folder);
  const config = { ...readJsonFile<object>(folder, "adapter_config.json"), ...edits };
  return memoryFiles(
    "there",
    new Map([
      [TENSORS, await files.read(TENSORS, 0, (await files.size(TENSORS)) as number)],
      ["adapter_config.json", new TextEncoder().encode(JSON.stringify(config))],
    ]),
  );
}

const Q = "model.layers.0.self_attn.q_proj";

test.each([
  ["adalora", { init_r: 3 }, /the rank is not the configuration's: .*init_r is 3/],
  [
    "adalora",
    { rank_pattern: { [`${Q}.lora_E`]: [true, false, false, true] } },
    /q_proj .*lora_E \[4,1\]\): rank_pattern leaves 2/,
  ],
  [
    "adalora",
    { use_dora: true, bias: "all" },
    /bias is "all": it is not supported with AdaLoRA\n.*use_dora is true/,
  ],
  [
    "adalora",
    { beta1: 1, rank_pattern: [1] },
    /rank_pattern is \[1\], expected .*\n.*beta1 is 1, expected a number above 0 and below 1/,
  ],
  ["oft", { r: 2 }, /r is 2 and oft_block_size 4: one of them has to be 0/],
  [
    "oft",
    { bias: "oft_only", eps: "x" },
    /eps is "x", expected a number.*\n.*bias is "oft_only": trained biases/,
  ],
  ["p_tuning", { encoder_reparameterization_type: "GRU" }, /"GRU", expected one of MLP, LSTM/],
])("%s with %j is refused", async (fixture, edits, message) => {
  await expect(readStoredAdapter(await edited(fixture, edits))).rejects.toThrow(message);
});

test.each([
  ["adalora", /q_proj: A \[4,32\], B \[32,4\] do not fit a layer/],
  ["oft", /oft_R \[8,6\], 8 blocks of 4, does not fit a layer of \d+ inputs/],
])("%s of another model is refused by layer", async (fixture, message) => {
  const model = await openTestModel(fixturePath("llama-tied"));
  await expect(loadAdapter(model, await edited(fixture, {}))).rejects.toThrow(message);
});

test("a series of Neumann's from before PEFT 0.18 is told", async () => {
  const { warnings } = await readStoredAdapter(await edited("oft", { peft_version: "0.17.1" }));
  expect(warnings).toEqual([expect.stringContaining("another series before PEFT 0.18")]);
});

test("what comes from a network that is not in the file runs, and is not trained", async () => {
  const model = await openTestModel(fixturePath("llama-gqa"));
  const { parameters } = await loadAdapter(model, await edited("p_tuning", {}));
  expect(parameters.locked).toMatchObject({
    why: expect.stringContaining("a network that the file does not hold"),
  });
});
