import { text } from "../options.ts";
import { ADAPTER_REVISION, LABELS, MODEL_OPTIONS, TASK } from "./model.ts";

/** `webgpu-lora merge`. */
export const MERGE_OPTIONS = {
  ...MODEL_OPTIONS,
  task: TASK,
  labels: LABELS,
  adapter_path: text({
    placeholder: "ref",
    help: "folder, URL or hub id of the PEFT LoRA adapter",
    aliases: ["adapter"],
  }),
  adapter_revision: ADAPTER_REVISION,
  output_dir: text({
    placeholder: "folder",
    fallback: "fused_model",
    help: "where the merged model is saved",
    aliases: ["save_path"],
  }),
};
