/** What AdapterHub calls the files of tensors, and those of a trained head. */
export const ADAPTER_HUB_FILES = {
  weights: "adapter.safetensors",
  head: { weights: "model_head.safetensors", config: "head_config.json" },
} as const;
