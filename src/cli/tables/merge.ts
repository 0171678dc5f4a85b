import { GGUF_TYPES } from "../../load/gguf-model.ts";
import { choice, flag, optionalText, text } from "../options.ts";
import { ADAPTER_REVISION, BASE_OPTIONS, LABELS, MODEL_OPTIONS, TASK } from "./model.ts";

/** `webgpu-lora merge`. */
export const MERGE_OPTIONS = {
  ...MODEL_OPTIONS,
  ...BASE_OPTIONS,
  task: TASK,
  labels: LABELS,
  adapter_path: text({
    placeholder: "ref[=factor]",
    help: "folder, URL or hub id of the adapter; ref=0.5 merges half of its change, ref=-1 takes it away",
    aliases: ["adapter"],
  }),
  adapter_revision: ADAPTER_REVISION,
  dequantize: flag({
    fallback: false,
    help: "with quantization: write the values that quantised matrices have, which the adapter was trained on",
  }),
  requantize: flag({
    fallback: false,
    help: "where the base is quantised: write its format again, nf4 and fp4 as bitsandbytes, others as compressed-tensors have them",
  }),
  eval_data: optionalText({
    placeholder: "path",
    help: "say what merging costs: the loss of these rows with the adapter beside its base, and merged",
    aliases: ["data"],
  }),
  force: flag({
    fallback: false,
    help: "merge an adapter that names another repository as its base model, or that has no effect",
  }),
  output_dir: text({
    placeholder: "folder",
    fallback: "fused_model",
    help: "where the merged model is saved",
    aliases: ["save_path"],
  }),
  gguf: optionalText({
    placeholder: "file",
    help: "write one GGUF file for llama.cpp and Ollama in place of the folder, with a Modelfile beside it",
    aliases: ["gguf_path"],
  }),
  gguf_type: choice({
    choices: GGUF_TYPES,
    fallback: "f16",
    help: "number format of its matrices",
  }),
};
