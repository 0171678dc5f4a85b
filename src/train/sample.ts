import { fail } from "../util/fail.ts";
import { type Bounds, integer, number, type Rules } from "../util/options.ts";

/** What to do where a model computes no numbers. */
export const DAMAGED =
  "the model or its adapter is damaged: try it without the adapter; if that works, train the adapter again, at a lower learning rate";

/** How the next token is chosen; transformers' names in camel case. */
export interface SamplingOptions {
  /** 0 (the default) is greedy: the most likely token. */
  temperature?: number;
  /** Only the k most likely tokens, and those as likely as the last of them; 0: all. */
  topK?: number;
  /** Only the most likely tokens whose probabilities reach p together (nucleus, Holtzman et al. 2019); 1: all. */
  topP?: number;
  /** Only tokens at least this fraction as likely as the most likely one; 0: all. */
  minP?: number;
  /** Divides positive and multiplies negative logits of tokens that occurred (Keskar et al. 2019); 1: none. */
  repetitionPenalty?: number;
}

/** What holds where nothing is said: the most likely token. */
export const SAMPLING_DEFAULTS: Required<SamplingOptions> = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
};

/** Bounds of numbers, here and on the command line. */
export const SAMPLING_BOUNDS = {
  temperature: { min: 0, max: 1e6 },
  topP: { above: 0, max: 1 },
  minP: { min: 0, max: 1 },
  repetitionPenalty: { min: 1e-6, max: 1e6 },
} satisfies Readonly<Record<string, Bounds>>;

/** What the options have to be. */
export const SAMPLING_RULES: Rules<SamplingOptions> = {
  temperature: number(SAMPLING_BOUNDS.temperature, "temp", "do_sample"),
  topK: integer({ min: 0 }),
  topP: number(SAMPLING_BOUNDS.topP),
  minP: number(SAMPLING_BOUNDS.minP),
  repetitionPenalty: number(SAMPLING_BOUNDS.repetitionPenalty),
};

/** Whether the choice is the most likely token, so that the device can make it alone. */
export function isGreedy({ temperature = 0, repetitionPenalty = 1 }: SamplingOptions): boolean {
  return temperature === 0 && repetitionPenalty === 1;
}

/** Ends a text whose scores say nothing: an infinite one, too, makes all others NaN in the softmax. */
export function failScores(): never {
  fail("generate", "a score of the next token is NaN or infinite", DAMAGED);
}
