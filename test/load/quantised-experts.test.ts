import { expect, test } from "vitest";
import { openModel } from "../../src/load/model.ts";
import { type Edit, edited } from "../support/checkpoint-edits.ts";
import { testDevice } from "../support/device.ts";

/** A Llama as a mixture of one expert, with the matrices of the feed-forward layers as that expert's. */
const mixture: Edit = ({ tensors, config }) => ({
  config: {
    ...config,
    ...{ architectures: ["Qwen3MoeForCausalLM"], model_type: "qwen3_moe", _name_or_path: "maker/moe-4bit" },
    ...{ num_experts: 1, num_experts_per_tok: 1, moe_intermediate_size: config.intermediate_size },
  },
  tensors: tensors.map((tensor) => ({ ...tensor, name: tensor.name.replace(".mlp.", ".mlp.experts.0.") })),
});

test.each(["bnb-nf4", "bnb-int8", "gptq-int4", "awq", "ct-int4", "fp8-blocks"])(
  "experts that are quantised one by one are refused by name, with what to take instead: %s",
  async (fixture) => {
    const files = await edited(`quantised/${fixture}`, mixture);
    await expect(openModel(files, await testDevice())).rejects.toThrow(
      /its experts are quantised one by one \(model\.layers\.0\.mlp\.experts\.0\.\w+_proj\.weight: .+\).*\n.*take the unquantised repository of this model \(here probably maker\/moe\)/,
    );
  },
);
