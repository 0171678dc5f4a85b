import { optionalText } from "../options.ts";
import { ANSWER_OPTIONS } from "./answer.ts";
import { ADAPTER_PATH, ADAPTER_REVISION, MODEL_OPTIONS } from "./model.ts";

/** `webgpu-lora generate`. */
export const GENERATE_OPTIONS = {
  ...MODEL_OPTIONS,
  adapter_path: ADAPTER_PATH,
  adapter_revision: ADAPTER_REVISION,
  prompt: optionalText({ placeholder: "text", help: "the text to continue; - reads standard input" }),
  messages: optionalText({
    placeholder: "file",
    help: "a JSON file with the messages of a chat to answer, instead of a prompt; - reads standard input",
  }),
  ...ANSWER_OPTIONS,
};
