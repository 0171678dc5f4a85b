import { describe, expect, test } from "vitest";
import { countParameters } from "../../src/load/create.ts";
import type { HfConfig } from "../../src/models/config-reader.ts";
import { testDevice } from "../support/device.ts";
import { readJsonFile, sharedPath } from "../support/fixtures.ts";

/** Parameters by transformers 5.18: the model on the meta device, `num_parameters()`; encoders without their pooler. */
const COUNTS: Readonly<Record<string, number>> = {
  "bert-base-cased.json": 108_311_810,
  "bert-base-uncased.json": 109_483_778,
  "bert-tiny-seqcls.json": 4_386_178,
  "bertmodelclone.json": 332_538_889,
  "capp-gpt2-tiny.json": 236_224,
  "distilbert-base-uncased.json": 66_985_530,
  "gpt2-finetuned-4.55.json": 124_439_808,
  "gpt2-large.json": 774_030_080,
  "gpt2-medium.json": 354_823_168,
  "mlc_presets/gpt2.json": 124_439_808,
  "mlc_presets/gpt2_medium.json": 354_823_168,
  "mlc_presets/snowflake-arctic-embed-m.json": 108_891_648,
  "pythia-410m.json": 353_825_792,
  "roberta-base.json": 124_055_040,
  "vit-base-patch16-224.json": 86_567_656,
};

const folder = sharedPath("model_configs");

describe.skipIf(!folder)("real configs of encoders and older decoders", () => {
  test.each(Object.entries(COUNTS))("%s has %i parameters", async (file, count) => {
    const config = readJsonFile<HfConfig>(folder as string, file);
    expect(countParameters(await testDevice(), config)).toBe(count);
  });

  test("quantised weights are refused by name", async () => {
    const config = readJsonFile<HfConfig>(folder as string, "pythia-1b-bnb4.json");
    const device = await testDevice();
    expect(() => countParameters(device, config)).toThrow(/quantization_config/);
  });
});

describe("configs that switch something on", () => {
  const BERT: HfConfig = {
    architectures: ["BertForSequenceClassification"],
    ...{ vocab_size: 9, hidden_size: 8, intermediate_size: 8, num_hidden_layers: 1, num_attention_heads: 2 },
  };
  const refusal = async (change: HfConfig) => {
    const device = await testDevice();
    try {
      return `built with ${countParameters(device, { ...BERT, ...change })}`;
    } catch (error) {
      return (error as Error).message;
    }
  };

  test.each<[HfConfig, RegExp]>([
    [{ position_embedding_type: "relative_key" }, /position_embedding_type "relative_key" is not supported/],
    [{ is_decoder: true }, /is_decoder true is not supported/],
    [{ problem_type: "multi_label_classification" }, /problem_type "multi_label_classification"/],
    [
      { id2label: { 0: "only" }, architectures: ["BertForTokenClassification"] },
      /num_labels 1; a head for one number is a regression/,
    ],
    [{ hidden_act: "mish" }, /hidden_act "mish"[\s\S]*supported: "gelu"/],
    [
      { architectures: ["BertForQuestionAnswering"] },
      /BertForQuestionAnswering is not supported; the nearest/,
    ],
    [{ sliding_window: 4 }, /sliding_window 4/],
  ])("%j", async (change, message) => expect(await refusal(change)).toMatch(message));
});
