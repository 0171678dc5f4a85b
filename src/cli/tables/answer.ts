import { GENERATE_DEFAULTS } from "../../train/generate.ts";
import { SAMPLING_BOUNDS } from "../../train/sample.ts";
import { integer, number, texts } from "../options.ts";
import { CHAT_TEMPLATE, SEED } from "./model.ts";

/** How an answer is written: what {@link generateOptions} reads. */
export const ANSWER_OPTIONS = {
  chat_template: CHAT_TEMPLATE,
  max_tokens: integer({
    fallback: GENERATE_DEFAULTS.maxNewTokens,
    min: 1,
    help: "tokens at most",
    aliases: ["max_new_tokens"],
  }),
  temperature: number({
    fallback: GENERATE_DEFAULTS.temperature,
    ...SAMPLING_BOUNDS.temperature,
    help: "0 takes the most likely token; this and what follows: by default as the model's generation_config.json says",
    aliases: ["temp"],
  }),
  top_k: integer({ fallback: GENERATE_DEFAULTS.topK, min: 0, help: "only the k most likely tokens; 0: all" }),
  top_p: number({
    fallback: GENERATE_DEFAULTS.topP,
    ...SAMPLING_BOUNDS.topP,
    help: "only the most likely tokens that reach p together",
  }),
  min_p: number({
    fallback: GENERATE_DEFAULTS.minP,
    ...SAMPLING_BOUNDS.minP,
    help: "only tokens this likely, against the most likely one",
  }),
  repetition_penalty: number({
    fallback: GENERATE_DEFAULTS.repetitionPenalty,
    ...SAMPLING_BOUNDS.repetitionPenalty,
    help: "makes tokens that occurred less likely; 1: does not",
  }),
  stop: texts({ placeholder: "text", help: "texts before which the answer ends" }),
  seed: SEED,
};
