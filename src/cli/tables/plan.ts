import { choice, flag, integer, texts } from "../options.ts";
import { TRAIN_OPTIONS } from "./train.ts";

/** `webgpu-lora plan`: train's own options, so that a line of the one is a line of the other. */
export const PLAN_OPTIONS = {
  ...TRAIN_OPTIONS,
  data: texts({
    placeholder: "path",
    help: "rows to learn from, as train takes them; without any, every row has max_length tokens",
  }),
  device: choice({
    choices: ["here", "gpu"],
    fallback: undefined,
    help: "plan for the device that is here, or for a typical GPU; by default here, where there is one",
  }),
  probe: flag({
    fallback: false,
    help: "ask the device for as much memory as the plan comes to, and give it back",
  }),
  max_new_tokens: integer({
    fallback: undefined,
    min: 1,
    help: "plan for texts, too, whose last so many of max_length tokens are written",
    aliases: ["max_tokens"],
  }),
  json: flag({ fallback: false, help: "print one JSON object" }),
};
