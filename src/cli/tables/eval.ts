import { EVALUATION_DEFAULTS } from "../../train/evaluate.ts";
import { flag, integer, text } from "../options.ts";
import { DATA_OPTIONS, STREAMING } from "./data.ts";
import {
  ADAPTER_PATH,
  ADAPTER_REVISION,
  LABELS,
  MODEL_OPTIONS,
  QUANTIZATION_OPTIONS,
  TASK,
} from "./model.ts";
import { PREFERENCE_OPTIONS } from "./preferences.ts";

/** `webgpu-lora eval`. */
export const EVAL_OPTIONS = {
  ...MODEL_OPTIONS,
  ...QUANTIZATION_OPTIONS,
  task: TASK,
  labels: LABELS,
  adapter_path: ADAPTER_PATH,
  adapter_revision: ADAPTER_REVISION,
  data: text({
    placeholder: "path",
    help: "a file as for train, or a folder with test.jsonl or valid.jsonl",
  }),
  batch_size: integer({
    fallback: EVALUATION_DEFAULTS.batchSize,
    min: 1,
    help: "sequences in a batch",
    aliases: ["per_device_eval_batch_size"],
  }),
  streaming: STREAMING,
  ...PREFERENCE_OPTIONS,
  ...DATA_OPTIONS,
  exact_match: flag({
    fallback: false,
    help: "have the model write the completions, and count those that are right to the letter",
  }),
  json: flag({ fallback: false, help: "print one JSON object" }),
};
