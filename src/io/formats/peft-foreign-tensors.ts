import { IMAGES_HELP, MLX_HELP } from "./peft-foreign.ts";
import { MERGE, MERGE_UNTIED, NO_MERGE } from "./peft-variants.ts";

/** A kind of tensor that cannot be read. */
export interface TensorKind {
  /** Completes "adapter_model.safetensors: ". */
  readonly what: string;
  readonly remedy: string;
}

const OUTPUT = "LoRA or training of the output layer and of embeddings is not supported yet";

/** Names of diffusers that look like PEFT's without their prefix. GPT-2's layers begin with `transformer`, too. */
export const DIFFUSERS =
  /^(?:unet|text_encoder(?:_\d)?|diffusion_model|transformer\.(?:single_)?transformer_blocks)\..*\.lora_[AB]\./;

/** Tensors that are not a linear layer's lora_A or lora_B, recognised by their names; the first match counts. */
const KINDS: readonly (readonly [name: RegExp, what: string, remedy: string])[] = [
  [
    /^(?:lora|lycoris)_(?:unet|te\d?|transformer|prior|clip)\w*_/,
    "tensors of kohya's sd-scripts or LyCORIS",
    IMAGES_HELP,
  ],
  [/\.processor\.\w*lora\w*\.(?:up|down)\./, "tensors of a LoRA for Flux in XLabs' layout", IMAGES_HELP],
  [
    /\.(?:lora_(?:up|down)|lora\.(?:up|down))\./,
    "tensors in the layout of diffusers or kohya, not PEFT's",
    IMAGES_HELP,
  ],
  [DIFFUSERS, "tensors in diffusers' layout", IMAGES_HELP],
  [/\.lora_[ab]$/, "tensors of mlx-lm", MLX_HELP],
  [/\.lora_magnitude_vector/, "magnitude vectors of DoRA, which are not supported", MERGE],
  [/\.lora_embedding_[AB]/, `LoRA of an embedding: ${OUTPUT}`, MERGE_UNTIED],
  [
    /\.base_layer\.weight$/,
    `stored weights of the base model (save_embedding_layers), as PEFT keeps them beside LoRA there: ${OUTPUT}`,
    MERGE_UNTIED,
  ],
  [/\.lora_B\.(?:[^.]+\.)?bias$/, "biases on lora_B (lora_bias), which are not supported", MERGE],
  [
    /trainable_tokens/,
    "trained rows of an embedding (trainable_token_indices), which are not supported",
    MERGE,
  ],
  [
    /\.base_layer\..*lora_[AB]/,
    "LoRA inside another one (fused experts or attention), which is not supported",
    MERGE,
  ],
  [/\.base_layer\.bias$/, "trained biases of the base model (bias), which are not supported", MERGE],
  [/\.lora_velora_embed/, "vectors of VeLoRA, which is not supported", MERGE],
  [
    /\.(?:lora_(?:A|B|E|diag)|ia3_l|vera_\w+|hada_\w+|lokr_\w+|oft_\w+|boft_\w+|hra_\w+)(?:\.weight)?$/,
    "tensors of a method other than LoRA",
    MERGE,
  ],
  [/prompt_embeddings$/, "tensors of a prompt method, not of LoRA", NO_MERGE],
  [/(?:^|[._])lora_/, "tensors of LoRA in a form that is not supported", MERGE],
];

const NOT_NAMED: TensorKind = {
  what: "tensors of the base model, of modules that modules_to_save does not name",
  remedy:
    "PEFT leaves them out without a word: where they were trained, name their modules in modules_to_save of adapter_config.json; else take them out of the file",
};

/** What a tensor is that cannot be read, by its name; `bias` is that of the configuration. */
export function describeForeignTensor(name: string, bias = "none"): TensorKind {
  if (bias !== "none" && name.endsWith(".bias") && !name.includes("lora_")) {
    return { what: `biases that were trained (bias is "${bias}"), which are not supported`, remedy: MERGE };
  }
  const kind = KINDS.find(([expression]) => expression.test(name));
  return kind ? { what: kind[1], remedy: kind[2] } : NOT_NAMED;
}
