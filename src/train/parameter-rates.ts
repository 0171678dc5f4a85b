import { elementCount, fromArray, type Tensor } from "../gpu/tensor.ts";
import { RATE_BLOCK } from "../kernels/update.ts";
import type { Parameter, Parameters } from "../nn/parameters.ts";
import { failAll } from "../util/fail.ts";
import { type Pattern, patternMatcher } from "../util/module-patterns.ts";

/** How parameters differ in their rates. */
export interface RateOptions {
  /** LoRA+ (Hayou et al. 2024, arXiv 2402.12354): the rate of B, and of vectors, over that of the others; 1 unless given. */
  loraplusLrRatio?: number;
  /**
   * The peak rate of LoRA's matrices at embeddings, in place of a multiple of the others'. Unless given PEFT's 1e-6 where
   * {@link loraplusLrRatio} is not 1, and as others elsewhere.
   */
  loraplusLrEmbedding?: number;
  /**
   * What the rate of some parameters is multiplied by, beside that: the keys match ends of their names, or whole names as
   * expressions, and the first that matches counts.
   */
  ratePattern?: Pattern;
}

/** What holds where nothing is said. */
export const RATE_DEFAULTS: Required<Omit<RateOptions, "loraplusLrEmbedding">> = {
  loraplusLrRatio: 1,
  ratePattern: {},
};

/** The rate that the others are factors of. */
export interface PeakRate {
  readonly learningRate: number;
}

/** PEFT's rate of embeddings in `create_loraplus_optimizer`. */
const EMBEDDING_RATE = 1e-6;

/** Names of parameters that don't decay: biases and norms, by transformers' `Trainer.get_decay_parameter_names`. */
const NOT_DECAYED = /bias|layernorm|rmsnorm|(?:^|\.)norm(?:$|\.)|_norm(?:$|\.)/i;

/** Whether LoRA+ multiplies its rate; PEFT's `create_loraplus_optimizer` chooses the same tensors. */
function isB({ name, tensor }: Parameter): boolean {
  return name.includes("lora_B") || tensor.shape.length === 1;
}

/** Whether it is LoRA's at an embedding, which LoRA+ gives a rate of its own. */
function isOfEmbedding({ name }: Parameter): boolean {
  return name.includes("lora_embedding_");
}

/** @throws LoraError for rates that would change nothing: none of the parameters has them */
export function checkRates(
  { entries }: Pick<Parameters, "entries">,
  { loraplusLrRatio = 1, loraplusLrEmbedding }: RateOptions,
): void {
  const hasRatio = entries.some((entry) => isB(entry) && !isOfEmbedding(entry));
  const problems = [
    ...(loraplusLrRatio !== 1 && !hasRatio
      ? [
          `loraplus_lr_ratio is ${loraplusLrRatio}: nothing that is trained is a lora_B or a vector, whose rate it multiplies`,
        ]
      : []),
    ...(loraplusLrEmbedding !== undefined && !entries.some(isOfEmbedding)
      ? [
          `loraplus_lr_embedding is ${loraplusLrEmbedding}: no LoRA at an embedding is trained, whose rate it is`,
        ]
      : []),
  ];
  failAll("train", problems, "leave it out; --rate-pattern names parameters of any method");
}

/**
 * The rates of parameters as update kernels read them: `[blocks, 2]`, of which each belongs to one parameter.
 * Weight decay is that of all but norms and biases.
 */
export function parameterRates(
  { flat, entries }: Parameters,
  options: typeof RATE_DEFAULTS & RateOptions & PeakRate,
): Tensor {
  const { loraplusLrRatio, ratePattern, learningRate } = options;
  const { loraplusLrEmbedding = loraplusLrRatio === 1 ? undefined : EMBEDDING_RATE } = options;
  const matches = patternMatcher(ratePattern);
  const rates = new Float32Array(2 * Math.ceil(flat.size / RATE_BLOCK)).fill(1);
  for (const entry of entries) {
    const { name, tensor } = entry;
    const own =
      isOfEmbedding(entry) && loraplusLrEmbedding !== undefined
        ? loraplusLrEmbedding / learningRate
        : isB(entry)
          ? loraplusLrRatio
          : 1;
    const rate = own * (matches(name)[0] ?? 1);
    const decay = NOT_DECAYED.test(name) ? 0 : 1;
    const first = tensor.byteOffset / 4 / RATE_BLOCK;
    const end = first + Math.ceil(elementCount(tensor.shape) / RATE_BLOCK);
    for (let block = first; block < end; block++) rates.set([rate, decay], 2 * block);
  }
  return fromArray(flat.device, rates, [rates.length / 2, 2]);
}
