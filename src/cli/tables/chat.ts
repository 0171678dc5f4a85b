import { optionalText, texts } from "../options.ts";
import { ANSWER_OPTIONS } from "./answer.ts";
import { BASE_OPTIONS, MODEL_OPTIONS } from "./model.ts";

/** `webgpu-lora chat`. */
export const CHAT_OPTIONS = {
  ...MODEL_OPTIONS,
  ...BASE_OPTIONS,
  adapter_path: texts({
    placeholder: "ref",
    help: "folder, URL or hub id owner/name[@revision] of a PEFT adapter; several answer side by side, and REF=0.5 takes half of one's change",
    aliases: ["adapter"],
  }),
  system_prompt: optionalText({ placeholder: "text", help: "the system message", aliases: ["system"] }),
  ...ANSWER_OPTIONS,
};
