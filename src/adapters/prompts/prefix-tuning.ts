import type { Tensor } from "../../gpu/tensor.ts";
import { checkOptions, flag, integer, oneOf, type Rules, required } from "../../util/options.ts";
import type { Method } from "../method.ts";
import { hostLayers } from "./host-network.ts";
import { promptSizes } from "./prompt-fields.ts";
import { densePlans, deviceLayers, embeddingPlan, type Layers } from "./prompt-network.ts";
import { normals } from "./prompt-tuning.ts";

/** Options of prefix tuning; names and meaning as in PEFT's PrefixTuningConfig, in camel case. */
export interface PrefixTuningOptions {
  /** Keys and values that stand before every text, at each layer. */
  numVirtualTokens: number;
  /** `zero`: keys and values begin at 0, which still takes attention from the text; from N(0, 1) unless given. */
  initWeights?: "zero";
  /** They come from trained vectors by a network that is trained with them, and not saved; false unless given. */
  prefixProjection?: boolean;
  /** Its width; that of a layer's keys unless given. */
  encoderHiddenSize?: number;
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
  prefixProjection: flag("prefix_projection"),
  encoderHiddenSize: integer({ min: 1 }, "encoder_hidden_size"),
};

/**
 * Prefix tuning: at each layer trained keys, which are not rotated, and values stand before those of every text, and take
 * its first positions. Li & Liang 2021, arXiv 2101.00190; as in PEFT `tuners/prefix_tuning/model.py` and `get_prompt`.
 * @throws LoraError for an option that there is not or a value that is not wanted
 */
export function prefixTuning(options: PrefixTuningOptions): PrefixTuning {
  checkOptions("prefixTuning", options, RULES);
  return options.prefixProjection ? projected(options) : storedPrefix(options);
}

/** The same whose keys and values are tensors: they are trained themselves, or come from a file. */
export function storedPrefix(options: PrefixTuningOptions): PrefixTuning {
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

/** tanh between two layers: PEFT's `PrefixEncoder` with `prefix_projection`. */
function projection<T>({ tensor, dense, activate }: Layers<T>): T {
  return dense("transform.2", activate(dense("transform.0", tensor("embedding.weight")), "tanh"));
}

function projected(options: PrefixTuningOptions): PrefixTuning {
  const { numVirtualTokens: count, initWeights, encoderHiddenSize } = options;
  return {
    ...storedPrefix(options),
    shared(model) {
      const { num_layers, token_dim } = promptSizes("prefixTuning", model, "keys");
      const hidden = encoderHiddenSize ?? token_dim;
      const last = densePlans("transform.2", hidden, 2 * num_layers * token_dim);
      const zero = Object.entries(last).map(([name, { shape }]) => [name, { shape }] as const);
      return {
        "embedding.weight": embeddingPlan(count, token_dim),
        ...densePlans("transform.0", token_dim, hidden),
        ...(initWeights === "zero" ? Object.fromEntries(zero) : last),
      };
    },
    virtual: (shared) => ({
      count,
      isRotated: false,
      compute: (tape) => ({ keysAndValues: projection(deviceLayers(tape, shared)) }),
    }),
    computed: (shared) => ({ prompt_embeddings: projection(hostLayers(shared)) }),
  };
}
