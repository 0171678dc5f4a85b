import type { Tensor } from "../../gpu/tensor.ts";
import { checkOptions, integer, oneOf, type Rules, required, withDefaults } from "../../util/options.ts";
import type { Method, TensorPlans } from "../method.ts";
import { hostLayers } from "./host-network.ts";
import { promptSizes } from "./prompt-fields.ts";
import { densePlans, deviceLayers, embeddingPlan, type Layers, lstmPlans } from "./prompt-network.ts";

/** The networks of P-tuning, as PEFT names them. */
export const ENCODERS = ["MLP", "LSTM"] as const;

/** Options of P-tuning; names and meaning as in PEFT's PromptEncoderConfig, in camel case. */
export interface PTuningOptions {
  /** Vectors that stand before every text. */
  numVirtualTokens: number;
  /** The network that they come from; `MLP` unless given. */
  encoderReparameterizationType?: (typeof ENCODERS)[number];
  /** Its width; that of the model unless given. */
  encoderHiddenSize?: number;
  /** Layers of an LSTM; 2 unless given. An MLP has three. */
  encoderNumLayers?: number;
}

const DEFAULTS = {
  encoderReparameterizationType: "MLP",
  encoderNumLayers: 2,
} satisfies Partial<PTuningOptions>;

/** P-tuning with all options settled. */
export interface PTuning extends Method {
  /** PEFT's `peft_type`. */
  readonly type: "P_TUNING";
  /** As given, with the defaults filled in. */
  readonly options: PTuningOptions & Required<Pick<PTuningOptions, keyof typeof DEFAULTS>>;
}

const RULES: Rules<PTuningOptions> = {
  numVirtualTokens: required(integer({ min: 1, max: 2 ** 16 }, "num_virtual_tokens")),
  encoderReparameterizationType: oneOf(ENCODERS, "encoder_reparameterization_type"),
  encoderHiddenSize: integer({ min: 1 }, "encoder_hidden_size"),
  encoderNumLayers: integer({ min: 1, max: 64 }, "encoder_num_layers"),
};

/**
 * P-tuning: the vectors that stand before the embeddings of every text come from trained ones by a network that is trained with
 * them, an MLP, or a bidirectional LSTM and an MLP. Its file has what the network computes, and not the network. Liu et al. 2021,
 * arXiv 2103.10385; as in PEFT `tuners/p_tuning/model.py`.
 * @throws LoraError for an option that there is not or a value that is not wanted
 */
export function pTuning(given: PTuningOptions): PTuning {
  checkOptions("pTuning", given, RULES);
  const options = withDefaults(DEFAULTS, given);
  const { numVirtualTokens: count } = options;
  return {
    type: "P_TUNING",
    options,
    sites: () => [],
    tensors: () => ({}),
    shared(model) {
      const { token_dim } = promptSizes("pTuning", model, "embeddings");
      return encoderPlans(token_dim, options);
    },
    virtual: (shared) => ({
      count,
      isRotated: true,
      compute: (tape) => ({ embeddings: encoded(deviceLayers(tape, shared), options) }),
    }),
    computed: (shared) => ({ prompt_embeddings: encoded(hostLayers(shared), options) }),
  };
}

/** Why what comes from a file is not trained. */
const NETWORK = {
  why: "its vectors came from a network that the file does not hold",
  help: "train a new one with pTuning(), or go on from a checkpoint of the run (--resume), which has it",
};

/** The same whose vectors come from a file. */
export function storedPTuning(given: PTuningOptions): PTuning {
  const method = pTuning(given);
  const { numVirtualTokens: count } = method.options;
  const { computed: _, ...rest } = method;
  return {
    ...rest,
    locked: NETWORK,
    shared(model) {
      const { token_dim } = promptSizes("pTuning", model, "embeddings");
      return { prompt_embeddings: { shape: [count, token_dim] } };
    },
    virtual: ({ prompt_embeddings }) => ({
      count,
      isRotated: true,
      compute: () => ({ embeddings: prompt_embeddings as Tensor }),
    }),
  };
}

type Encoder = PTuning["options"];

function encoderPlans(width: number, options: Encoder): TensorPlans {
  const { numVirtualTokens, encoderHiddenSize: hidden = width } = options;
  const vectors = { "embedding.weight": embeddingPlan(numVirtualTokens, width) };
  if (options.encoderReparameterizationType === "MLP") {
    return {
      ...vectors,
      ...densePlans("mlp_head.0", width, hidden),
      ...densePlans("mlp_head.2", hidden, hidden),
      ...densePlans("mlp_head.4", hidden, width),
    };
  }
  return {
    ...vectors,
    ...lstmPlans("lstm_head", { inputs: width, hidden, layers: options.encoderNumLayers }),
    ...densePlans("mlp_head.0", 2 * hidden, 2 * hidden),
    ...densePlans("mlp_head.2", 2 * hidden, width),
  };
}

/** The vectors `[count, d]`. */
function encoded<T>({ tensor, dense, activate, lstm }: Layers<T>, options: Encoder): T {
  const vectors = tensor("embedding.weight");
  const relu = (x: T) => activate(x, "relu");
  if (options.encoderReparameterizationType === "MLP") {
    return dense("mlp_head.4", relu(dense("mlp_head.2", relu(dense("mlp_head.0", vectors)))));
  }
  const states = lstm("lstm_head", vectors, options.encoderNumLayers);
  return dense("mlp_head.2", relu(dense("mlp_head.0", states)));
}
