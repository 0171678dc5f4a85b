import type { Random } from "../util/random.ts";
import { failScores, type SamplingOptions } from "./sample.ts";

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
