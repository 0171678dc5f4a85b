// Every field of PEFT's LoraConfig is read, ignored for a reason, or refused with a remedy.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parsePeftConfig } from "../../src/adapters/config-fields.ts";
import { LORA } from "../../src/adapters/lora/lora-codec.ts";
import { LORA_FIELD_RULES } from "../../src/adapters/lora/lora-variants.ts";
import { fromArray } from "../../src/gpu/tensor.ts";
import { memoryFiles } from "../../src/io/files/files.ts";
import { loadAdapter } from "../../src/load/adapter.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { contextOf } from "../support/context.ts";
import { fixturePath, openTestModel, readJsonFile } from "../support/fixtures.ts";

/** What PEFT 0.21 saves for a LoraConfig. */
const saved = readJsonFile<Record<string, unknown>>(fixturePath("."), "peft-config.json");
const parse = (more: object) => parsePeftConfig(LORA.codec, { ...saved, ...more }, "adapter_config.json");

/** A value of each field that asks for what is not there. */
const REFUSED: Record<string, unknown> = {
  arrow_config: { top_k: 2 },
  bias: "some",
  kasa_config: {},
  megatron_config: { a: 1 },
  monteclora_config: {},
  target_parameters: ["experts.down_proj"],
  use_bdlora: { nblocks: 2 },
  use_qalora: true,
  velora_config: {},
};

test("the rules are of all fields that PEFT writes, and of no others", () => {
  expect(Object.keys(LORA_FIELD_RULES).sort()).toEqual(Object.keys(saved).sort());
});

describe.each(Object.entries(LORA_FIELD_RULES))("%s", (name, rule) => {
  const isRefused = Object.hasOwn(REFUSED, name);

  test(isRefused ? "is refused with a remedy" : rule.ignored ? "is ignored for a reason" : "is read", () => {
    if (!isRefused) {
      expect(rule.isPlain({ a: 1 })).toBe(true);
      expect(() => parse({})).not.toThrow();
      return;
    }
    const own = new RegExp(`${name} is .*\\n  → \\S`);
    expect(() => parse({ [name]: REFUSED[name] })).toThrow(own);
  });
});

test("target_parameters of linear layers: with the remedy applied, the adapter does what PEFT's does", async () => {
  const folder = fixturePath("target-parameters");
  const model = await openTestModel(fixturePath("llama-gqa"));
  await expect(loadAdapter(model, folderFiles(folder))).rejects.toThrow(
    /target_parameters is \["q_proj\.weight","down_proj\.weight"\].*\n.*make target_parameters null/,
  );
  const { input_ids, logits } = readJsonFile<{ input_ids: number[]; logits: number[] }>(
    folder,
    "golden.json",
  );
  const config = readJsonFile<{ target_parameters: string[] }>(folder, "adapter_config.json");
  const names = config.target_parameters.map((name) => name.replace(".weight", ""));
  const edited = JSON.stringify({ ...config, target_parameters: null, target_modules: names });
  const weights = readFileSync(`${folder}/adapter_model.safetensors`);
  const files = new Map<string, Uint8Array>([
    ["adapter_config.json", new TextEncoder().encode(edited)],
    ["adapter_model.safetensors", weights],
  ]);
  await loadAdapter(model, memoryFiles("edited", files));
  const ids = fromArray(model.device, Uint32Array.from(input_ids), [1, input_ids.length]);
  const all = await model.logits(model.hidden(ids, contextOf(ids))).read();
  expect(all.slice(-model.config.vocabSize)).toBeClose(logits, 1e-5);
});
