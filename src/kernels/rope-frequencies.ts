import { fail } from "../util/fail.ts";

/**
 * Changes of the angles for long contexts, named as in a Hugging Face config (`modeling_rope_utils.py`).
 * An `attention_factor` multiplies cosines and sines, and so each score twice.
 */
export type RopeScaling =
  | { rope_type: "default" }
  | { rope_type: "linear"; factor: number }
  | {
      rope_type: "llama3";
      factor: number;
      low_freq_factor: number;
      high_freq_factor: number;
      original_max_position_embeddings: number;
    }
  | { rope_type: "dynamic"; factor: number; max_position_embeddings: number }
  | {
      rope_type: "yarn";
      factor: number;
      beta_fast: number;
      beta_slow: number;
      truncate: boolean;
      attention_factor: number;
      original_max_position_embeddings: number;
    }
  | {
      rope_type: "longrope";
      short_factor: readonly number[];
      long_factor: readonly number[];
      attention_factor: number;
      original_max_position_embeddings: number;
    };

type Scaling<T extends RopeScaling["rope_type"]> = Extract<RopeScaling, { rope_type: T }>;

/** What determines the angles. */
export interface RopeOptions {
  headDim: number;
  /** Leading dimensions of a head that are rotated; the rest is left as it is. Even. */
  rotaryDim?: number;
  /** Base of the wavelengths, `rope_theta`. */
  theta: number;
  scaling?: RopeScaling | undefined;
}

/**
 * Radians per position of each pair, `[rotaryDim / 2]`, in f64.
 * @param length of the sequence, on which the kinds `dynamic` and `longrope` depend
 */
export function ropeFrequencies(options: RopeOptions, length = 0): Float64Array {
  const { headDim, rotaryDim = headDim, theta, scaling = { rope_type: "default" } } = options;
  if (rotaryDim % 2 !== 0 || rotaryDim > headDim || rotaryDim < 2) {
    fail("rope", `${rotaryDim} rotated dimensions of ${headDim}; an even number is needed`);
  }
  const plain = (base: number) =>
    Float64Array.from({ length: rotaryDim / 2 }, (_, i) => base ** ((-2 * i) / rotaryDim));
  switch (scaling.rope_type) {
    case "default":
      return plain(theta);
    case "linear":
      return plain(theta).map((frequency) => frequency / scaling.factor);
    case "llama3":
      return plain(theta).map((frequency) => llama3Frequency(frequency, scaling));
    case "dynamic":
      return plain(dynamicBase(theta, rotaryDim, scaling, length));
    case "yarn":
      return yarnFrequencies(plain(theta), theta, scaling);
    case "longrope":
      return longFrequencies(plain(theta), scaling, length);
  }
}

/** Factor of the cosines and sines. */
export function ropeAmplitude({ scaling }: RopeOptions): number {
  return scaling && "attention_factor" in scaling ? scaling.attention_factor : 1;
}

/**
 * A number that says which frequencies a sequence of some length has: equal numbers, equal frequencies.
 * Keys that were rotated under another regime do not fit the queries of this one.
 */
export function ropeRegime({ scaling }: RopeOptions, length: number): number {
  if (scaling?.rope_type === "dynamic") return Math.max(length, scaling.max_position_embeddings);
  if (scaling?.rope_type === "longrope") return Number(length > scaling.original_max_position_embeddings);
  return 0;
}

/** Waves that the original context holds often enough stay, long ones are stretched, others are blended. */
function llama3Frequency(frequency: number, scaling: Scaling<"llama3">): number {
  const { factor, low_freq_factor: low, high_freq_factor: high } = scaling;
  const turns = (scaling.original_max_position_embeddings * frequency) / (2 * Math.PI);
  const blend = clamp01((turns - low) / (high - low));
  return blend * frequency + ((1 - blend) * frequency) / factor;
}

/** A larger base beyond the trained context, so that the longest wave just stretches with the sequence. */
function dynamicBase(
  theta: number,
  dim: number,
  { factor, max_position_embeddings: trained }: Scaling<"dynamic">,
  length: number,
): number {
  const stretch = (factor * Math.max(length, trained)) / trained - (factor - 1);
  return theta * stretch ** (dim / (dim - 2));
}

/** Peng et al. 2023, arXiv 2309.00071: fast waves stay, slow ones are interpolated, with a ramp over the pairs between. */
function yarnFrequencies(plain: Float64Array, theta: number, scaling: Scaling<"yarn">): Float64Array {
  const dim = 2 * plain.length;
  const { beta_fast, beta_slow, truncate, factor, original_max_position_embeddings: trained } = scaling;
  const pairOf = (turns: number) => (dim * Math.log(trained / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const [low, high] = [pairOf(beta_fast), pairOf(beta_slow)];
  const first = Math.max(truncate ? Math.floor(low) : low, 0);
  const last = Math.min(truncate ? Math.ceil(high) : high, dim - 1);
  const width = last === first ? 0.001 : last - first;
  return plain.map((frequency, i) => {
    const slow = clamp01((i - first) / width);
    return (frequency / factor) * slow + frequency * (1 - slow);
  });
}

/** Ding et al. 2024, arXiv 2402.13753: a searched factor for each pair, one set for short and one for long sequences. */
function longFrequencies(plain: Float64Array, scaling: Scaling<"longrope">, length: number): Float64Array {
  const long = length > scaling.original_max_position_embeddings;
  const factors = long ? scaling.long_factor : scaling.short_factor;
  if (factors.length !== plain.length) {
    const name = long ? "long_factor" : "short_factor";
    fail("rope", `${name} has ${factors.length} entries for ${plain.length} pairs of a head`);
  }
  return plain.map((frequency, i) => frequency / (factors[i] as number));
}

const clamp01 = (x: number) => Math.min(1, Math.max(0, x));
