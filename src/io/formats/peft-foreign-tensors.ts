import { IMAGES_HELP, MLX_HELP } from "./peft-foreign.ts";

/** A kind of tensor that cannot be read. */
interface TensorKind {
  /** Completes "adapter_model.safetensors: ". */
  readonly what: string;
  readonly remedy: string;
}

/** Names of diffusers that look like PEFT's without their prefix. GPT-2's layers begin with `transformer`, too. */
const DIFFUSERS =
  /^(?:unet|text_encoder(?:_\d)?|diffusion_model|transformer\.(?:single_)?transformer_blocks)\..*\.lora_[AB]\./;

/** Tensors of other tools, recognised by their names; the first match counts. */
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
];

/** What a tensor is that is in the layout of another tool, by its name. */
export function describeForeignTensor(name: string): TensorKind | undefined {
  const kind = KINDS.find(([expression]) => expression.test(name));
  return kind && { what: kind[1], remedy: kind[2] };
}
