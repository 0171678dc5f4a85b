import { expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lnTuning } from "../../src/adapters/ln-tuning/ln-tuning.ts";
import { vera } from "../../src/adapters/vera/vera.ts";
import { memoryFiles } from "../../src/io/files/files.ts";
import { peftFileContents } from "../../src/io/formats/peft-writer.ts";
import { loadAdapter } from "../../src/load/adapter.ts";
import { fixturePath, openTestModel, readJsonFile, readTensors } from "../support/fixtures.ts";
import { wholeFiles } from "../support/merged-cases.ts";

const LLAMA = fixturePath("llama-gqa");
const VERA = fixturePath("methods/vera");

/** The fixture's adapter without its random matrices, and with other values in its configuration. */
async function withoutProjections(changes: object) {
  const config = { ...readJsonFile<Record<string, unknown>>(VERA, "adapter_config.json"), ...changes };
  const tensors = await readTensors(VERA, "adapter_model.safetensors");
  const kept = [...tensors].filter(([name]) => !/vera_[AB]$/.test(name));
  const entries = new Map(kept.map(([name, data]) => [name, { shape: [data.length], data }]));
  return memoryFiles("without", await wholeFiles(peftFileContents(config as never, [], entries)));
}

test("random matrices that a file leaves out are drawn again, to the bit", async () => {
  const files = await withoutProjections({ save_projection: false });
  const { shared } = await loadAdapter(await openTestModel(LLAMA), files);
  const stored = await readTensors(VERA, "adapter_model.safetensors");
  expect(await shared.vera_A?.read()).toEqual(stored.get("base_model.vera_A"));
  expect(await shared.vera_B?.read()).toEqual(stored.get("base_model.vera_B"));
});

test("random matrices that a file promises and does not hold are missed by name", async () => {
  const loading = loadAdapter(await openTestModel(LLAMA), await withoutProjections({}));
  await expect(loading).rejects.toThrow("vera_A is missing, which save_projection promises");
});

test("trained biases of VeRA are refused with a way out", async () => {
  const files = await withoutProjections({ save_projection: false, bias: "all" });
  const loading = loadAdapter(await openTestModel(LLAMA), files);
  await expect(loading).rejects.toThrow(/bias is "all"[\s\S]*merge_and_unload/);
});

test("LN tuning takes norms alone, and PEFT's for the type of the model", async () => {
  const model = await openTestModel(LLAMA);
  const adapter = attach(model, lnTuning());
  expect(new Set(adapter.sites.map(({ module }) => module.path.split(".").at(-1)))).toEqual(
    new Set(["input_layernorm", "post_attention_layernorm", "norm"]),
  );
  adapter.release();
  expect(() => attach(model, lnTuning({ targetModules: ["q_proj"] }))).toThrow(
    "this method does not adapt modules of this kind",
  );
  expect(() => lnTuning().targetsIn({ modelType: "phi3" })).toThrow("PEFT has no targets for phi3");
  expect(() => attach(model, vera({ targetModules: ["input_layernorm"] }))).toThrow(
    "this method does not adapt modules of this kind",
  );
});
