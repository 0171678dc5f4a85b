import type { TensorKind } from "../codec.ts";
import { MERGE, MERGE_UNTIED, NO_MERGE } from "../remedies.ts";

/** Tensors that are not a linear layer's lora_A or lora_B, recognised by their names; the first match counts. */
const KINDS: readonly (readonly [name: RegExp, what: string, remedy: string])[] = [
  [
    /\.base_layer\.weight$/,
    "stored weights of the base model (save_embedding_layers), beside no LoRA of theirs",
    MERGE_UNTIED,
  ],
  [/trainable_tokens/, "trained rows in another form than trainable_token_indices has", MERGE],
  [
    /\.base_layer\..*lora_[AB]/,
    "LoRA inside another one (fused experts or attention), which is not supported",
    MERGE,
  ],
  [/\.base_layer\.bias$/, 'trained biases of the base model, and bias is "none"', MERGE],
  [/\.lora_velora_embed/, "vectors of VeLoRA, which is not supported", MERGE],
  [
    /\.(?:lora_(?:A|B|E|diag)|ia3_l|vera_\w+|hada_\w+|lokr_\w+|oft_\w+|boft_\w+|hra_\w+)(?:\.weight)?$/,
    "tensors of a method other than LoRA",
    MERGE,
  ],
  [/prompt_embeddings$/, "tensors of a prompt method, not of LoRA", NO_MERGE],
  [/(?:^|[._])lora_/, "tensors of LoRA in a form that is not supported", MERGE],
];

/** What a tensor of another variant of LoRA, or of another method, is. */
export function foreignLoraTensor(name: string): TensorKind | undefined {
  const kind = KINDS.find(([expression]) => expression.test(name));
  return kind && { what: kind[1], remedy: kind[2] };
}
