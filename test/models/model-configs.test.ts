import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { countParameters } from "../../src/load/create.ts";
import type { HfConfig } from "../../src/models/config-reader.ts";
import { LoraError } from "../../src/util/fail.ts";
import { testDevice } from "../support/device.ts";
import { readJsonFile, sharedPath } from "../support/fixtures.ts";

/** Parameters by transformers 5.18: the model on the meta device, `num_parameters()`. */
const COUNTS: Readonly<Record<string, number>> = {
  "executorch_mediatek/Llama-3.2-1B-Instruct.json": 1_235_814_400,
  "executorch_mediatek/Llama-3.2-3B-Instruct.json": 3_212_749_824,
  "executorch_mediatek/Qwen2-7B-Instruct.json": 7_615_616_512,
  "executorch_mediatek/Qwen2.5-3B.json": 3_085_938_688,
  "executorch_mediatek/Qwen3-1.7B.json": 1_720_574_976,
  "executorch_mediatek/Qwen3-4B.json": 4_022_468_096,
  "executorch_mediatek/gemma2_2b_it.json": 2_614_341_888,
  "executorch_mediatek/llama3-8B-instruct.json": 8_030_261_248,
  "executorch_mediatek/phi-4-mini-reasoning.json": 3_836_021_760,
  "executorch_mediatek/phi3.5-mini-instruct.json": 3_821_079_552,
  "gemma-3-270m-it.json": 268_098_176,
  "llama-3.2-1b.json": 1_235_814_400,
  "mlc_presets/Mixtral-8x7B-v0.1.json": 46_702_792_704,
  "mlc_presets/codellama_13b.json": 13_016_028_160,
  "mlc_presets/codellama_34b.json": 33_744_232_448,
  "mlc_presets/codellama_7b.json": 6_738_546_688,
  "mlc_presets/gemma2_27b.json": 27_227_128_320,
  "mlc_presets/gemma2_2b-jpn.json": 2_614_341_888,
  "mlc_presets/gemma2_2b.json": 2_614_341_888,
  "mlc_presets/gemma2_9b.json": 9_241_705_984,
  "mlc_presets/gemma3_1b_it.json": 999_885_952,
  "mlc_presets/gemma_2b.json": 2_506_172_416,
  "mlc_presets/llama2_13b.json": 13_015_864_320,
  "mlc_presets/llama2_70b.json": 68_976_648_192,
  "mlc_presets/llama2_7b.json": 6_738_415_616,
  "mlc_presets/llama3_1_70b.json": 70_553_706_496,
  "mlc_presets/llama3_1_8b.json": 8_030_261_248,
  "mlc_presets/llama3_2_1b.json": 1_235_814_400,
  "mlc_presets/llama3_2_3b.json": 3_212_749_824,
  "mlc_presets/mistral_7b_v03.json": 7_248_023_552,
  "mlc_presets/olmo2_13b.json": 13_716_198_400,
  "mlc_presets/olmo2_32b.json": 32_234_279_936,
  "mlc_presets/olmo2_7b.json": 7_298_617_344,
  "mlc_presets/phi-3_5.json": 3_821_079_552,
  "mlc_presets/phi-4.json": 3_836_021_760,
  "mlc_presets/qwen2.5_3b.json": 3_085_938_688,
  "mlc_presets/qwen2.json": 1_525_663_744,
  "mlc_presets/qwen2_0_5b.json": 494_032_768,
  "mlc_presets/qwen2_1_5b.json": 1_543_714_304,
  "mlc_presets/qwen2_7b.json": 7_615_616_512,
  "mlc_presets/qwen3_0.6b.json": 596_049_920,
  "mlc_presets/qwen3_1.7b.json": 1_720_574_976,
  "mlc_presets/smollm2_135m.json": 134_515_008,
  "mlc_presets/smollm2_360m.json": 361_821_120,
  "mlc_presets/smollm_135m.json": 134_515_008,
  "mlc_presets/smollm_1_7b.json": 1_711_376_384,
  "mlc_presets/smollm_360m.json": 361_821_120,
  "mlc_presets/stablelm-2-zephyr-1_6b.json": 1_644_515_328,
  "mlc_presets/stablelm.json": 2_795_443_200,
  "mlc_presets/tinyllama_1b_chat_v0.4.json": 1_100_060_672,
  "mlc_presets/tinyllama_1b_chat_v1.0.json": 1_100_048_384,
  "qwen2.5-0.5b-instruct.json": 494_032_768,
  "smollm-plagiarism.json": 134_516_736,
  "tasos_qwen.json": 1_543_714_304,
};

/** Settings that are not implemented, and architectures. */
const REFUSED: Readonly<Record<string, RegExp>> = {
  "executorch_mediatek/Qwen2-1.5B-Instruct.json": /mask_value -10000/,
  "executorch_mediatek/Qwen2.5-0.5B-Instruct.json": /mask_value -10000/,
  "executorch_mediatek/gemma3_1b_it.json":
    /sliding_window_attention_size 512[\s\S]*global_local_attention_pattern/,
  "hf2q_tiny.json": /architecture TinyTestModel is not supported/,
  "lfm2-vl-450m.json": /architecture Lfm2VlForConditionalGeneration/,
  "mlc_presets/aya-23.json": /architecture CohereForCausalLM/,
  "mlc_presets/baichuan.json": /architecture BaichuanForCausalLM/,
  "mlc_presets/chatglm.json": /architecture ChatGLMModel/,
  "mlc_presets/deepseek.json": /architecture DeepseekForCausalLM/,
  "mlc_presets/deepseek_v2_lite.json": /architecture DeepseekV2ForCausalLM/,
  "mlc_presets/gpt_bigcode.json": /architecture GPTBigCodeForCausalLM/,
  "mlc_presets/gpt_j.json": /architecture GPTJForCausalLM/,
  "mlc_presets/internlm.json": /architecture InternLMForCausalLM/,
  "mlc_presets/internlm2.json": /architecture InternLM2ForCausalLM/,
  "mlc_presets/internlm2_5_7b.json": /architecture InternLM2ForCausalLM/,
  "mlc_presets/llava.json": /architecture LlavaForConditionalGeneration/,
  "mlc_presets/minicpm-moe-8x2b.json": /architecture MiniCPMForCausalLM/,
  "mlc_presets/minicpm_2b.json": /architecture MiniCPMForCausalLM/,
  "mlc_presets/minicpm_2b_sft_bf16.json": /architecture MiniCPMForCausalLM/,
  "mlc_presets/ministral3_3b_2512.json": /the nearest that is: MistralForCausalLM/,
  "mlc_presets/mistral_7b.json": /sliding_window_size 4096[\s\S]*attention_sink_size 4/,
  "mlc_presets/orion.json": /architecture OrionForCausalLM/,
  "mlc_presets/phi-1_5.json": /architecture PhiForCausalLM[\s\S]*nearest that is: Phi3ForCausalLM/,
  "mlc_presets/phi-2.json": /architecture PhiForCausalLM/,
  "mlc_presets/phi-3_5-vision.json": /architecture Phi3VForCausalLM/,
  "mlc_presets/qwen.json": /architecture QWenLMHeadModel[\s\S]*nearest that is: Qwen2ForCausalLM/,
  "mlc_presets/qwen2moe.json": /architecture Qwen2MoeForCausalLM/,
  "mlc_presets/rwkv5_3b.json": /architecture RwkvForCausalLM/,
  "mlc_presets/starcoder2.json": /architecture Starcoder2ForCausalLM/,
  "resnet-50.json": /architecture ResNetForImageClassification/,
  "ttm_v1.json": /architecture TinyTimeMixerForPrediction/,
};

const folder = sharedPath("model_configs");

describe.skipIf(!folder)("real configs", () => {
  const files = folder ? readdirSync(folder, { recursive: true, encoding: "utf8" }) : [];
  const configs = files.filter((file) => file.endsWith(".json")).sort();

  test.each(configs)("%s builds from shapes alone, or is refused with the reason", async (file) => {
    const device = await testDevice();
    const used = device.memory.stats.used;
    const config = readJsonFile<HfConfig>(folder as string, file);
    const refused = REFUSED[file];
    const count = () => countParameters(device, config);
    if (refused) expect(count).toThrow(refused);
    else if (file in COUNTS) expect(count()).toBe(COUNTS[file]);
    else expect(outcome(count)).toBe("built or refused");
    expect(device.memory.stats.used).toBe(used);
  });

  test("every file of the tables is there", () => {
    expect(configs).toEqual(expect.arrayContaining([...Object.keys(COUNTS), ...Object.keys(REFUSED)]));
  });
});

function outcome(count: () => number): string {
  try {
    return count() > 0 ? "built or refused" : "built without parameters";
  } catch (error) {
    return error instanceof LoraError && error.kind === "unsupported" ? "built or refused" : String(error);
  }
}
