import { describe, expect, test } from "vitest";
import { countParameters } from "../../src/load/create.ts";
import type { HfConfig } from "../../src/models/config-reader.ts";
import { buildModel } from "../../src/models/families.ts";
import { shapeWeights } from "../../src/nn/initial-weights.ts";
import { testDevice } from "../support/device.ts";
import { fixturePath, readJsonFile } from "../support/fixtures.ts";

const LLAMA: HfConfig = {
  architectures: ["LlamaForCausalLM"],
  ...{ vocab_size: 10, hidden_size: 8, intermediate_size: 12, num_hidden_layers: 1, num_attention_heads: 2 },
};
const count = async (change: HfConfig) => countParameters(await testDevice(), { ...LLAMA, ...change });
const refusal = (change: HfConfig) =>
  count(change).then(
    () => "not refused",
    ({ message }: Error) => message,
  );

describe("config.json", () => {
  const size = 2 * 10 * 8 + 4 * 8 * 8 + 3 * 8 * 12 + 3 * 8;

  test("counts parameters from shapes alone", async () => expect(await count({})).toBe(size));

  test("the model type stands in for an architecture that is not named", async () => {
    expect(await count({ architectures: undefined, model_type: "llama" })).toBe(size);
  });

  test("fields that change nothing, or are off, are let pass", async () => {
    const inert = { torch_dtype: "bfloat16", transformers_version: "4", attention_dropout: 0.1 };
    const off = { some_switch: false, some_cap: null, some_size: 0, some_map: {}, some_list: [] };
    expect(await count({ ...inert, ...off, eos_token_id: [1, 2], use_cache: true })).toBe(size);
  });

  test("names are texts: what JavaScript would turn into one, or could not, is refused", async () => {
    for (const name of [["LlamaForCausalLM"], { toString: 1 }, null, 5]) {
      expect(await refusal({ architectures: [name] })).toContain(
        `architecture ${JSON.stringify(name)} is not`,
      );
      expect(await refusal({ architectures: undefined, model_type: name })).toContain("names neither");
    }
  });

  test("an architecture that is not there names the nearest that is", async () => {
    const message = await refusal({ architectures: ["LlamaForCausalLn"] });
    expect(message).toContain("LlamaForCausalLn is not supported; the nearest that is: LlamaForCausalLM");
  });

  test("another head of a model that is there names that one", async () => {
    const message = await refusal({ architectures: ["LlamaForTokenRanking"] });
    expect(message).toContain("the nearest that is: LlamaForCausalLM");
    expect(await refusal({ architectures: ["JambaThing"] })).not.toContain("nearest");
  });

  test("every field that is wrong, or switches something unknown on, is named at once", async () => {
    const message = await refusal({
      hidden_size: "big",
      attention_sink_size: 4,
      quantization_config: { bits: 4 },
    });
    expect(message).toContain('hidden_size is "big", expected a positive whole number');
    expect(message).toContain("attention_sink_size 4 is not supported");
    expect(await refusal({ vocab_size: 2.5 })).toContain(
      "vocab_size is 2.5, expected a positive whole number",
    );
    expect(await refusal({ hidden_size: 7 })).toContain("head_dim is 3.5, expected a positive whole number");
    expect(await refusal({ num_key_value_heads: 4 })).toContain("4 does not divide the 2 query heads");
    expect(message).toContain('quantization_config {"bits":4} is not supported');
  });
});

// Oracle: the config classes of transformers 5.18 (test/fixtures/make_small.py).
describe("a config that states only sizes", async () => {
  const { sizes, full } = readJsonFile<{ sizes: HfConfig; full: Record<string, HfConfig> }>(
    fixturePath("."),
    "config-defaults.json",
  );
  const device = await testDevice();
  const read = (config: HfConfig) => buildModel(device, config, shapeWeights(device).root).config;

  test.each(Object.keys(full))("means for %s what its class fills in", (model_type) => {
    expect(read({ ...sizes, model_type })).toEqual(read(full[model_type] as HfConfig));
  });
});
