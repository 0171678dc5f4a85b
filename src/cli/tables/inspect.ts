import { flag, integers, optionalText, text } from "../options.ts";
import { DATA_OPTIONS, VALID_SPLIT } from "./data.ts";
import { MODEL_OPTIONS } from "./model.ts";

/** `webgpu-lora inspect`. */
export const INSPECT_OPTIONS = {
  ...MODEL_OPTIONS,
  data: text({
    placeholder: "path",
    help: "what train is to be given: a file, or a folder with train.jsonl and, if wanted, valid.jsonl",
  }),
  eval_data: optionalText({
    placeholder: "file",
    help: "a file whose rows should not be in the data, instead of the folder's valid.jsonl",
  }),
  valid_split: VALID_SPLIT,
  row: integers({ min: 1, help: "show these rows, by their numbers from 1, with all their tokens" }),
  ...DATA_OPTIONS,
  html: optionalText({ placeholder: "file", help: "write a page of it, too, that needs nothing else" }),
  json: flag({ fallback: false, help: "print one JSON object" }),
};
