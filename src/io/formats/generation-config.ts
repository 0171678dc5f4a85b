import { failAll } from "../../util/fail.ts";
import { isObject, type JsonObject } from "../../util/json.ts";
import { type Bounds, inWords, isWithin } from "../../util/options.ts";
import { shown } from "../../util/shown.ts";

/** How a model's `generation_config.json` has tokens chosen, where its user says nothing. */
export interface GenerationSettings {
  /** 0: the most likely token. */
  readonly temperature?: number;
  /** Only the k most likely tokens; 0: all. */
  readonly topK?: number;
  /** Only the most likely tokens that reach this probability together. */
  readonly topP?: number;
  /** Only tokens at least this fraction as likely as the most likely one. */
  readonly minP?: number;
  /** Makes tokens that occurred less likely; 1: does not. */
  readonly repetitionPenalty?: number;
}

/** What transformers 5.18 fills in where a file says `do_sample` (`_get_default_generation_params`). */
const SAMPLED = { temperature: 1, topK: 50 };

/** Of the probabilities: the most likely token has more, which is what transformers leaves of a `top_p` of 0. */
const LEAST_SHARE = 1e-9;

const NUMBERS: Readonly<Record<string, readonly [key: keyof GenerationSettings, bounds: Bounds]>> = {
  temperature: ["temperature", { min: 0, max: 1e6 }],
  top_k: ["topK", { min: 0, max: 2 ** 31 }],
  top_p: ["topP", { min: 0, max: 1 }],
  min_p: ["minP", { min: 0, max: 1 }],
  repetition_penalty: ["repetitionPenalty", { min: 1e-6, max: 1e6 }],
};

/** Settings that have transformers choose other tokens, with what switches each off. Here they are not used. */
const UNUSED: Readonly<Record<string, readonly unknown[]>> = {
  num_beams: [1],
  num_beam_groups: [1],
  diversity_penalty: [0],
  penalty_alpha: [0],
  no_repeat_ngram_size: [0],
  encoder_repetition_penalty: [1],
  encoder_no_repeat_ngram_size: [0],
  min_length: [0],
  min_new_tokens: [0],
  typical_p: [1],
  epsilon_cutoff: [0],
  eta_cutoff: [0],
  guidance_scale: [1],
  top_h: [],
  bad_words_ids: [],
  force_words_ids: [],
  suppress_tokens: [],
  begin_suppress_tokens: [],
  forced_bos_token_id: [],
  forced_eos_token_id: [],
  sequence_bias: [],
  exponential_decay_length_penalty: [],
  watermarking_config: [],
  stop_strings: [],
};

/**
 * The sampling that `generation_config.json` asks for, as `generate` of transformers takes it: without `do_sample` the
 * most likely token, though with the repetition penalty.
 * @throws LoraError listing the values that are out of range
 */
export function readGenerationSettings(json: JsonObject, where: string): GenerationSettings {
  const problems: string[] = [];
  const read: Partial<Record<keyof GenerationSettings, number>> = {};
  for (const [name, [key, bounds]] of Object.entries(NUMBERS)) {
    const value = json[name] ?? undefined;
    if (value === undefined) continue;
    const whole = name === "top_k";
    if (isWithin(value, bounds) && (!whole || Number.isInteger(value))) read[key] = value as number;
    else
      problems.push(
        `${name} is ${shown(value)}, expected a ${whole ? "whole " : ""}number${inWords(bounds)}`,
      );
  }
  const { do_sample: sampled = false } = json;
  if (sampled !== null && typeof sampled !== "boolean") {
    problems.push(`do_sample is ${shown(sampled)}, expected true or false`);
  }
  failAll(where, problems, "correct the file, or take it away");
  const { repetitionPenalty, topP } = read;
  if (topP === 0) read.topP = LEAST_SHARE;
  if (sampled === true) return { ...SAMPLED, ...read };
  return repetitionPenalty === undefined ? {} : { repetitionPenalty };
}

/** What else the file asks for that changes the text and is not used here; one part of a sentence for each. */
export function unusedGenerationSettings(json: JsonObject): string[] {
  return Object.entries(UNUSED)
    .filter(([name, off]) => {
      const value = json[name] ?? undefined;
      const isEmpty =
        (Array.isArray(value) && value.length === 0) || (isObject(value) && Object.keys(value).length === 0);
      return value !== undefined && !isEmpty && !off.includes(value);
    })
    .map(([name]) => `${name} ${shown(json[name])}`);
}
