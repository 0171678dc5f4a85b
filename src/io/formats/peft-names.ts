/** What PEFT calls the file of an adapter's settings. */
export const PEFT_CONFIG = "adapter_config.json";

/** What it calls that of its tensors. */
export const PEFT_WEIGHTS = "adapter_model.safetensors";
