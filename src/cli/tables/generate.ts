import { BATCH_DEFAULTS } from "../../train/generate-batch.ts";
import { integer, optionalText } from "../options.ts";
import { ANSWER_OPTIONS } from "./answer.ts";
import { DATA_OPTIONS } from "./data.ts";
import { ADAPTER_PATH, ADAPTER_REVISION, BASE_OPTIONS, MODEL_OPTIONS } from "./model.ts";

/** `webgpu-lora generate`. */
export const GENERATE_OPTIONS = {
  ...MODEL_OPTIONS,
  ...BASE_OPTIONS,
  adapter_path: ADAPTER_PATH,
  adapter_revision: ADAPTER_REVISION,
  prompt: optionalText({ placeholder: "text", help: "the text to continue; - reads standard input" }),
  messages: optionalText({
    placeholder: "file",
    help: "a JSON file with the messages of a chat to answer, instead of a prompt; - reads standard input",
  }),
  prompts: optionalText({
    placeholder: "file",
    help: "a file of prompts, which are continued side by side: rows with prompt or messages, as train reads them, or lines of a .txt, also with .gz; - reads standard input; the answers are printed as rows of JSON",
    aliases: ["data"],
  }),
  columns: DATA_OPTIONS.columns,
  header: DATA_OPTIONS.header,
  batch_size: integer({
    fallback: BATCH_DEFAULTS.batchSize,
    min: 1,
    help: "prompts of a file that are continued at a time: more need more memory",
  }),
  ...ANSWER_OPTIONS,
};
