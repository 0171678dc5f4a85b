import { ADAPTER_FORMATS } from "../../load/convert/formats.ts";
import { GGUF_TYPES } from "../../load/gguf-model.ts";
import { choice, optionalNumber, optionalText, text, texts } from "../options.ts";
import { ADAPTER_REVISION, LABELS, MODEL_OPTIONS, TASK } from "./model.ts";

/** `webgpu-lora convert`. */
export const CONVERT_OPTIONS = {
  source: texts({
    placeholder: "ref",
    help: "folder, URL or hub id of an adapter of PEFT or mlx-lm, or a GGUF file; also as a plain word",
    aliases: ["adapter", "adapter_path"],
  }),
  to: choice({ choices: ADAPTER_FORMATS, fallback: undefined, help: "the format that is written" }),
  output: text({
    placeholder: "path",
    help: "where it is saved: a folder, or for gguf a file",
    aliases: ["output_dir", "save_path"],
  }),
  model: optionalText({
    placeholder: "ref",
    help: "the base model, of which config.json is read: for gguf, and for mlx where some layers only are adapted; with its weights for lora_rank of other methods, and for PiSSA and OLoRA as PEFT saves them; unless given, the one that the adapter names",
  }),
  task: TASK,
  labels: LABELS,
  lora_rank: optionalNumber({
    above: 0,
    help: "makes plain LoRA of any method that changes weights of linear layers (DoRA, IA3, LoHa, LoKr, VeRA, AdaLoRA), or of LoRA one of this rank, as near as the rank allows; below 1: the share of the squared norm that is kept. Methods other than LoRA need the base model's weights",
    aliases: ["rank"],
  }),
  type: choice({ choices: GGUF_TYPES, fallback: "f32", help: "number format of the matrices in GGUF" }),
  ollama_from: optionalText({
    placeholder: "name",
    help: "for gguf: the base model as Ollama has it, for a Modelfile beside the adapter",
  }),
  revision: MODEL_OPTIONS.revision,
  adapter_revision: ADAPTER_REVISION,
  token: MODEL_OPTIONS.token,
  verify: MODEL_OPTIONS.verify,
};
