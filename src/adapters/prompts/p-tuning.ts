import * as ops from "../../autograd/ops.ts";
import type { Tape } from "../../autograd/tape.ts";
import type { Tensor } from "../../gpu/tensor.ts";
import { checkOptions, integer, oneOf, type Rules, required, withDefaults } from "../../util/options.ts";
import type { Method, SiteTensors, TensorPlans } from "../method.ts";
import { promptSizes } from "./prompt-fields.ts";
import { dense, densePlans, embeddingPlan, lstm, lstmPlans } from "./prompt-network.ts";

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
  const encode = (tape: Tape | undefined, shared: SiteTensors) => encoded(tape, shared, options);
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
      compute: (tape) => ({ embeddings: encode(tape, shared) }),
    }),
    computed: (shared) => ({ prompt_embeddings: encode(undefined, shared) }),
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
function encoded(tape: Tape | undefined, shared: SiteTensors, options: Encoder): Tensor {
  const vectors = shared["embedding.weight"] as Tensor;
  const layer = (name: string, x: Tensor) => dense(tape, shared, name, x);
  const relu = (x: Tensor) => ops.activate(tape, x, "relu");
  if (options.encoderReparameterizationType === "MLP") {
    return layer("mlp_head.4", relu(layer("mlp_head.2", relu(layer("mlp_head.0", vectors)))));
  }
  const hidden = (shared["mlp_head.0.bias"] as Tensor).size / 2;
  const sizes = { inputs: vectors.columns, hidden, layers: options.encoderNumLayers };
  const states = lstm(tape, shared, "lstm_head", vectors, sizes);
  return layer("mlp_head.2", relu(layer("mlp_head.0", states)));
}
