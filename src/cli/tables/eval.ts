import { EVALUATION_DEFAULTS } from "../../train/evaluate.ts";
import { flag, integer, optionalText, text } from "../options.ts";
import { DATA_OPTIONS, STREAMING } from "./data.ts";
import { ADAPTER_PATH, ADAPTER_REVISION, BASE_OPTIONS, LABELS, MODEL_OPTIONS, TASK } from "./model.ts";
import { PREFERENCE_OPTIONS } from "./preferences.ts";

/** `webgpu-lora eval`. */
export const EVAL_OPTIONS = {
  ...MODEL_OPTIONS,
  ...BASE_OPTIONS,
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
  loss_map: optionalText({
    placeholder: "file",
    help: "write a page of what each token costs the base model and the one with adapters, side by side",
  }),
  loss_map_rows: integer({
    fallback: 100,
    min: 1,
    help: "rows of the data that it shows, from the first on",
  }),
  json: flag({ fallback: false, help: "print one JSON object" }),
};
