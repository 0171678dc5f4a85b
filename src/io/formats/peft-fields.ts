/**
 * `adapter_config.json` of `peft_type` LORA: every field that PEFT 0.21.0 writes, under PEFT's own names.
 * Their meaning: https://huggingface.co/docs/peft/package_reference/lora#peft.LoraConfig
 */
export interface PeftLoraConfig {
  alora_invocation_tokens: readonly number[] | null;
  /** Alphas that differ from `lora_alpha`, by regular expressions on module paths. */
  alpha_pattern: Readonly<Record<string, number>>;
  arrow_config: Readonly<Record<string, unknown>> | null;
  auto_mapping: Readonly<Record<string, unknown>> | null;
  base_model_name_or_path: string | null;
  /** `none`, `all` or `lora_only`. */
  bias: string;
  corda_config: Readonly<Record<string, unknown>> | null;
  ensure_weight_tying: boolean;
  eva_config: Readonly<Record<string, unknown>> | null;
  exclude_modules: readonly string[] | string | null;
  /** Whether the base weights are `[in, out]`; lora_A and lora_B keep their layout. */
  fan_in_fan_out: boolean;
  inference_mode: boolean;
  init_lora_weights: boolean | string;
  kasa_config: Readonly<Record<string, unknown>> | null;
  layer_replication: readonly (readonly number[])[] | null;
  layers_pattern: readonly string[] | string | null;
  layers_to_transform: readonly number[] | number | null;
  loftq_config: Readonly<Record<string, unknown>>;
  /** The scale is lora_alpha / r, or lora_alpha / √r with `use_rslora`. */
  lora_alpha: number;
  lora_bias: boolean;
  lora_dropout: number;
  lora_ga_config: Readonly<Record<string, unknown>> | null;
  megatron_config: Readonly<Record<string, unknown>> | null;
  megatron_core: string | null;
  modules_to_save: readonly string[] | null;
  monteclora_config: Readonly<Record<string, unknown>> | null;
  peft_type: "LORA";
  peft_version: string | null;
  qalora_group_size: number;
  r: number;
  /** Ranks that differ from `r`, by regular expressions on module paths. */
  rank_pattern: Readonly<Record<string, number>>;
  revision: string | null;
  /** Paths or their ends; or a regular expression on the whole path. */
  target_modules: readonly string[] | string | null;
  target_parameters: readonly string[] | null;
  task_type: string | null;
  trainable_token_indices: readonly number[] | Readonly<Record<string, unknown>> | null;
  use_bdlora: Readonly<Record<string, unknown>> | boolean | null;
  use_dora: boolean;
  use_qalora: boolean;
  use_rslora: boolean;
  velora_config: Readonly<Record<string, unknown>> | null;
}
