/** Values of the shaders' `ACTIVATION`. A new activation is a number here and a branch in common/activation.wgsl, twice. */
export const ACTIVATIONS = {
  silu: 0,
  gelu_tanh: 1,
  gelu: 2,
  relu: 3,
  relu2: 4,
  quick_gelu: 5,
  tanh: 6,
} as const;

/**
 * `gelu` is the exact one with erf (BERT, ViT), `gelu_tanh` its approximation (GPT-2's `gelu_new`, Gemma's
 * `gelu_pytorch_tanh`), `quick_gelu` x · sigmoid(1.702 x), `relu2` the square of relu.
 */
export type Activation = keyof typeof ACTIVATIONS;
