import { fail } from "../util/fail.ts";
import { type Bounds, integer, number, type Rules } from "../util/options.ts";
import type { Random } from "../util/random.ts";

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

/** A token that may be drawn. */
export interface Candidate {
  id: number;
  /** Unnormalised probability; 1 for the most likely. */
  weight: number;
}

/**
 * Chooses a token from logits `[V]`: the most likely at temperature 0, else one of {@link candidatesOf}.
 * @param history tokens so far, for the repetition penalty
 * @throws LoraError where a logit is NaN or +∞, or all are −∞
 */
export function sampleToken(
  logits: Float32Array,
  options: SamplingOptions,
  history: readonly number[],
  random: Random,
): number {
  const { temperature = 0, repetitionPenalty = 1 } = options;
  if (temperature === 0) return mostLikely(penalize(logits, history, repetitionPenalty));
  return draw(candidatesOf(logits, options, history), random);
}

/**
 * The tokens that may come next, the most likely first: penalty, temperature, top-k, top-p, min-p, in transformers'
 * order. Only for a temperature above 0.
 * @throws LoraError as {@link sampleToken} does
 */
export function candidatesOf(
  logits: Float32Array,
  { temperature = 1, topK = 0, topP = 1, minP = 0, repetitionPenalty = 1 }: SamplingOptions,
  history: readonly number[],
): Candidate[] {
  const all = rank(penalize(logits, history, repetitionPenalty), temperature);
  return nucleus(likeliest(all, topK), topP).filter(({ weight }) => weight >= minP);
}

function penalize(logits: Float32Array, history: readonly number[], penalty: number): Float32Array {
  if (penalty === 1) return logits;
  const scores = logits.slice();
  for (const id of new Set(history)) {
    const score = scores[id];
    if (score !== undefined) scores[id] = score > 0 ? score / penalty : score * penalty;
  }
  return scores;
}

function mostLikely(scores: Float32Array): number {
  let best = 0;
  for (let id = 0; id < scores.length; id++) {
    const score = scores[id] as number;
    if (Number.isNaN(score)) failScores();
    if (score > (scores[best] as number)) best = id;
  }
  return Number.isFinite(scores[best]) ? best : failScores();
}

/** Ends a text whose scores say nothing: an infinite one, too, makes all others NaN in the softmax. */
export function failScores(): never {
  fail("generate", "a score of the next token is NaN or infinite", DAMAGED);
}

/** The k most likely, and those as likely as the last of them: transformers cuts by its score. */
function likeliest(candidates: Candidate[], k: number): Candidate[] {
  const last = k > 0 ? candidates[k - 1] : undefined;
  return last ? candidates.filter(({ weight }) => weight >= last.weight) : candidates;
}

/** Candidates from most to least likely; equal ones by id, so that a seed always gives the same text. */
function rank(scores: Float32Array, temperature: number): Candidate[] {
  const top = scores[mostLikely(scores)] as number;
  const candidates = Array.from(scores, (score, id) => ({
    id,
    weight: Math.exp((score - top) / temperature),
  }));
  return candidates.filter(({ weight }) => weight > 0).sort((a, b) => b.weight - a.weight || a.id - b.id);
}

/** The shortest prefix whose probability reaches p. */
function nucleus(candidates: Candidate[], p: number): Candidate[] {
  if (p === 1) return candidates;
  const goal = p * total(candidates);
  let sum = 0;
  const end = candidates.findIndex(({ weight }) => {
    sum += weight;
    return sum >= goal;
  });
  return end < 0 ? candidates : candidates.slice(0, end + 1);
}

function draw(candidates: readonly Candidate[], random: Random): number {
  let left = random.uniform() * total(candidates);
  for (const { id, weight } of candidates) {
    left -= weight;
    if (left < 0) return id;
  }
  return (candidates.at(-1) as Candidate).id;
}

const total = (candidates: readonly Candidate[]) => candidates.reduce((sum, { weight }) => sum + weight, 0);
