import type { Activation } from "../kernels/activations.ts";
import type { ConfigReader } from "./config-reader.ts";

/** What configs call the activations, as in transformers' ACT2FN. */
const NAMES: Readonly<Record<string, Activation>> = {
  gelu: "gelu",
  gelu_new: "gelu_tanh",
  gelu_fast: "gelu_tanh",
  gelu_pytorch_tanh: "gelu_tanh",
  quick_gelu: "quick_gelu",
  relu: "relu",
  relu2: "relu2",
  silu: "silu",
  swish: "silu",
  tanh: "tanh",
};

/** The activation that a field names. */
export function readActivation(c: ConfigReader, field: string, fallback: string): Activation {
  return NAMES[c.choice(field, Object.keys(NAMES), fallback)] as Activation;
}
