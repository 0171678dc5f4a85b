import { describe, expect, test } from "vitest";
import { parsePeftConfig } from "../../../src/adapters/config-fields.ts";
import { LORA, peftLoraConfig } from "../../../src/adapters/lora/lora-codec.ts";
import { peftConfigText } from "../../../src/io/formats/peft-writer.ts";
import { pythonFloat, pythonJson } from "../../../src/io/json/python-json.ts";
import { readPeftAdapter } from "../../../src/load/lora-files.ts";
import { fixture } from "../helpers.ts";
import { adapterFiles, messageOf } from "./peft-helpers.ts";

describe("adapter_config.json", () => {
  test("is written as PEFT writes it", () => {
    const config = peftLoraConfig({
      base_model_name_or_path: "org/base",
      lora_alpha: 16,
      lora_dropout: 0.05,
      target_modules: ["q_proj", "v_proj"],
      task_type: "CAUSAL_LM",
    });
    const text = (config: object) => peftConfigText(config, LORA.codec.floats);
    expect(text(config)).toBe(new TextDecoder().decode(fixture("peft-config.json")));
    expect(text({ ...config, inference_mode: false })).toBe(text(config));
  });

  test("a list or a pattern of more than 65 536 entries is refused before it is compared with the layers", () => {
    const names = Array.from({ length: 65_537 }, (_, i) => `layer${i}`);
    const pattern = Object.fromEntries(names.map((name) => [name, 1]));
    const json = { peft_type: "LORA", target_modules: names, rank_pattern: pattern };
    expect(() => parsePeftConfig(LORA.codec, json, "adapter_config.json")).toThrow(
      "target_modules has 65537 entries; the limit is 65536\n  - rank_pattern has 65537",
    );
  });

  // Values by Python 3.11: repr(x), and json.dumps(..., indent=2, sort_keys=True).
  test("numbers and strings are Python's", () => {
    const floats = [0, -0, 0.05, 1e-5, 1e-4, 1e16, 1e15, 123456789012345680, 1.5e-7, 0.1 + 0.2, 1e22, -2.5];
    expect(floats.map(pythonFloat).join(" ")).toBe(
      "0.0 -0.0 0.05 1e-05 0.0001 1e+16 1000000000000000.0 1.2345678901234568e+17 1.5e-07 0.30000000000000004 1e+22 -2.5",
    );
    const value = {
      k: 'é\u007f\u{1f600}\n"/',
      a: [],
      b: {},
      c: [1, [2.5]],
      "\uffff": true,
      "\u{10000}": null,
    };
    expect(pythonJson(value)).toBe(
      String.raw`{
  "a": [],
  "b": {},
  "c": [
    1,
    [
      2.5
    ]
  ],
  "k": "\u00e9\u007f\ud83d\ude00\n\"/",
  "\uffff": true,
  "\ud800\udc00": null
}`,
    );
  });

  test("missing fields take PEFT's defaults, unknown ones are ignored with a warning", async () => {
    const { config, warnings } = await readPeftAdapter(
      adapterFiles({ use_new_thing: 3, runtime_config: null, rank_pattern: null, use_dora: null }),
    );
    expect(config).toEqual(peftLoraConfig({ r: 2 }));
    expect(config.lora_alpha).toBe(8);
    expect(warnings).toEqual([
      "memory/adapter_config.json: the field use_new_thing (3) is unknown to PEFT 0.21.0 and was ignored",
      "memory/adapter_config.json: the field runtime_config (null) is unknown to PEFT 0.21.0 and was ignored",
    ]);
  });

  const refused: [object, string][] = [
    [{ use_dora: true }, "lora_A, lora_B without lora_magnitude_vector"],
    [{ lora_bias: true }, "lora_A, lora_B without lora_bias"],
    [{ bias: "some" }, 'bias is "some": anything but none, all and lora_only is not supported'],
    [
      { init_lora_weights: "pissa" },
      'init_lora_weights is "pissa": this initialisation changes the base weights',
    ],
    [{ init_lora_weights: "pissa_niter_16" }, "given INITIAL (the adapter as it was saved before training)"],
    [{ init_lora_weights: "olora" }, 'init_lora_weights is "olora"'],
    [{ init_lora_weights: "corda" }, 'init_lora_weights is "corda"'],
    [{ init_lora_weights: "lora_ga" }, 'init_lora_weights is "lora_ga"'],
    [{ init_lora_weights: "loftq" }, "loftq_config is empty"],
    [{ kasa_config: { beta: 1 } }, "kasa_config is"],
    [{ use_qalora: true }, "use_qalora is true"],
    [{ use_bdlora: { nblocks: 2 } }, "use_bdlora is"],
    [{ layer_replication: [[0, 2]] }, "layer_replication is set: it belongs to a base"],
    [{ arrow_config: { top_k: 2 } }, "arrow_config is"],
    [{ megatron_config: { a: 1 } }, "megatron_config is"],
    [{ monteclora_config: { num_samples: 2 } }, "monteclora_config is"],
    [
      { trainable_token_indices: [5] },
      "trainable_token_indices names tokens whose rows are missing: the embedding",
    ],
    [{ target_parameters: ["experts.down_proj"] }, "target_parameters is"],
    // PEFT takes {} for these options with their defaults.
    [{ kasa_config: {} }, "kasa_config is {}"],
    [{ velora_config: {} }, "velora_config is {}: a backward pass over compressed activations"],
    [{ monteclora_config: {} }, "monteclora_config is {}"],
    [{ init_lora_weights: "PiSSA" }, 'init_lora_weights is "PiSSA": this initialisation changes'],
    [{ init_lora_weights: "EVA" }, 'init_lora_weights is "EVA": this initialisation is unknown'],
    [{ task_type: "causal_lm" }, 'task_type is "causal_lm", expected one of SEQ_CLS'],
    [{ peft_type: "BOFT" }, 'peft_type is "BOFT": only'],
    [{ peft_type: "CPT" }, "PEFT has no merged form of it"],
    [{ peft_type: undefined }, "peft_type is missing"],
    [{ task_type: ["CAUSAL_LM"] }, 'task_type is ["CAUSAL_LM"], expected one of'],
    [{ peft_type: { toString: 1 } }, 'peft_type is {"toString":1}: only "LORA"'],
    [{ bias: { toString: 1 } }, 'bias is {"toString":1}'],
    [{ layers_to_transform: -1 }, "layers_to_transform is -1, expected a list of whole numbers ≥ 0"],
    [{ layers_to_transform: [0, -1] }, "layers_to_transform is [0,-1]"],
    [{ lora_dropout: 1 }, "lora_dropout is 1, expected a number of at least 0 and below 1"],
    [{ r: 0 }, "r is 0, expected a whole number of at least 1"],
    [{ r: -4 }, "r is -4"],
    [{ lora_alpha: "16" }, 'lora_alpha is "16", expected a number'],
    [{ lora_alpha: 1e308 }, "lora_alpha is 1e+308, expected a number of at least -1e+30 and at most 1e+30"],
    [{ target_modules: [1] }, "target_modules is [1], expected a list of strings, a string or null"],
    [{ rank_pattern: { q_proj: 0 } }, 'rank_pattern["q_proj"] is 0, expected a whole number of at least 1'],
    [{ alpha_pattern: { "(": 4 } }, 'alpha_pattern: the pattern "("'],
    [{ target_modules: "a", layers_to_transform: [1] }, "layers_to_transform cannot go with an expression"],
    [{ layers_pattern: "h" }, "layers_pattern needs layers_to_transform"],
  ];
  test.each(refused)("refuses %j", async (config, expected) => {
    expect(await messageOf(config)).toContain(expected);
  });

  test("tolerates what does not change the meaning", async () => {
    const inits = [true, false, "gaussian", "Gaussian", "eva", "orthogonal", "mica"];
    const fields: object[] = inits.map((init_lora_weights) => ({ init_lora_weights }));
    const off = {
      use_bdlora: false,
      alora_invocation_tokens: [],
      target_parameters: [],
      layer_replication: [],
    };
    const unused = { eva_config: { rho: 2 }, loftq_config: { loftq_bits: 4 }, qalora_group_size: 7 };
    const named = { modules_to_save: ["nothing"], bias: "all", ensure_weight_tying: true };
    for (const config of [...fields, off, unused, named]) {
      const { warnings } = await readPeftAdapter(adapterFiles(config));
      expect(warnings).toEqual([]);
    }
  });

  // merge_and_unload of PEFT 0.21 raises for the first, is not exact for the second, and works for the third.
  test("names a remedy that works for each field", async () => {
    expect(await messageOf({ use_qalora: true })).toContain("PEFT has no merged form of it");
    expect(await messageOf({ init_lora_weights: "pissa_niter_4" })).toContain('combination_type="cat"');
    for (const init_lora_weights of ["pissa", "OLoRA"]) {
      expect(await messageOf({ init_lora_weights })).toMatch(
        /webgpu-lora convert ADAPTER --to peft .*merge_and_unload\(\)\.save_pretrained\(OUT\)/,
      );
    }
  });
});
