import type { LayerConfig, TargetConfig } from "../config-fields.ts";

/**
 * `adapter_config.json` of `peft_type` LORA: every field that PEFT 0.21.0 writes, under PEFT's own names.
 * Their meaning: https://huggingface.co/docs/peft/package_reference/lora#peft.LoraConfig
 */
export interface PeftLoraConfig extends TargetConfig, LayerConfig {
  alora_invocation_tokens: readonly number[] | null;
  /** Alphas that differ from `lora_alpha`, by regular expressions on module paths. */
  alpha_pattern: Readonly<Record<string, number>>;
  arrow_config: Readonly<Record<string, unknown>> | null;
  /** `none`, `all` or `lora_only`. */
  bias: string;
  corda_config: Readonly<Record<string, unknown>> | null;
  ensure_weight_tying: boolean;
  eva_config: Readonly<Record<string, unknown>> | null;
  /** Whether the base weights are `[in, out]`; lora_A and lora_B keep their layout. */
  fan_in_fan_out: boolean;
  init_lora_weights: boolean | string;
  kasa_config: Readonly<Record<string, unknown>> | null;
  layer_replication: readonly (readonly number[])[] | null;
  loftq_config: Readonly<Record<string, unknown>>;
  /** The scale is lora_alpha / r, or lora_alpha / √r with `use_rslora`. */
  lora_alpha: number;
  lora_bias: boolean;
  lora_dropout: number;
  lora_ga_config: Readonly<Record<string, unknown>> | null;
  megatron_config: Readonly<Record<string, unknown>> | null;
  megatron_core: string | null;
  monteclora_config: Readonly<Record<string, unknown>> | null;
  peft_type: "LORA";
  qalora_group_size: number;
  r: number;
  /** Ranks that differ from `r`, by regular expressions on module paths. */
  rank_pattern: Readonly<Record<string, number>>;
  target_parameters: readonly string[] | null;
  trainable_token_indices: readonly number[] | Readonly<Record<string, unknown>> | null;
  use_bdlora: Readonly<Record<string, unknown>> | boolean | null;
  use_dora: boolean;
  use_qalora: boolean;
  use_rslora: boolean;
  velora_config: Readonly<Record<string, unknown>> | null;
}
