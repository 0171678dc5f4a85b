import { flag, integers, optionalText } from "../options.ts";
import { DATA_OPTIONS, STREAMING, TRAINING_DATA, VALID_SPLIT } from "./data.ts";
import { LABELS, MODEL_OPTIONS, TASK } from "./model.ts";

/** `webgpu-lora inspect`. */
export const INSPECT_OPTIONS = {
  ...MODEL_OPTIONS,
  task: TASK,
  labels: LABELS,
  ...TRAINING_DATA,
  eval_data: optionalText({
    placeholder: "file",
    help: "a file whose rows should not be in the data, instead of the folder's valid.jsonl",
  }),
  valid_split: VALID_SPLIT,
  streaming: STREAMING,
  row: integers({ min: 1, help: "show these rows, by their numbers from 1, with all their tokens" }),
  ...DATA_OPTIONS,
  html: optionalText({ placeholder: "file", help: "write a page of it, too, that needs nothing else" }),
  json: flag({ fallback: false, help: "print one JSON object" }),
};
