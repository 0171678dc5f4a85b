import type { Tensor } from "../gpu/tensor.ts";
import { checkOptions, integer, oneOf, type Rules, required } from "../util/options.ts";
import type { Method } from "./method.ts";
import { promptSizes } from "./prompt-fields.ts";
import { normals } from "./prompt-tuning.ts";

/** Options of prefix tuning; names and meaning as in PEFT's PrefixTuningConfig, in camel case. */
export interface PrefixTuningOptions {
  /** Keys and values that stand before every text, at each layer. */
  numVirtualTokens: number;
  /** `zero`: keys and values begin at 0, which still takes attention from the text; from N(0, 1) unless given. */
  initWeights?: "zero";
}

/** Prefix tuning with its options. */
export interface PrefixTuning extends Method {
  /** PEFT's `peft_type`. */
  readonly type: "PREFIX_TUNING";
  /** As given. */
  readonly options: PrefixTuningOptions;
}

const RULES: Rules<PrefixTuningOptions> = {
  numVirtualTokens: required(integer({ min: 1, max: 2 ** 16 }, "num_virtual_tokens")),
  initWeights: oneOf(["zero"], "init_weights"),
};

/**
 * Prefix tuning: at each layer trained keys, which are not rotated, and values stand before those of every text, and take
 * its first positions. Li & Liang 2021, arXiv 2101.00190; as in PEFT `tuners/prefix_tuning/model.py` and `get_prompt`.
 * @throws LoraError for an option that there is not or a value that is not wanted
 */
export function prefixTuning(options: PrefixTuningOptions): PrefixTuning {
  checkOptions("prefixTuning", options, RULES);
  const { numVirtualTokens: count, initWeights } = options;
  return {
    type: "PREFIX_TUNING",
    options,
    sites: () => [],
    tensors: () => ({}),
    shared(model) {
      const { num_layers, token_dim } = promptSizes("prefixTuning", model, "keys");
      const columns = 2 * num_layers * token_dim;
      const begin = { begin: (random: Parameters<typeof normals>[1]) => normals(count * columns, random) };
      return { prompt_embeddings: { shape: [count, columns], ...(initWeights !== "zero" && begin) } };
    },
    virtual: ({ prompt_embeddings }) => ({
      count,
      isRotated: false,
      compute: () => ({ keysAndValues: prompt_embeddings as Tensor }),
    }),
  };
}
