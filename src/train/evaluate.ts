import { makeBatches } from "../data/batch.ts";
import type { Sequence } from "../data/tokenize.ts";
import type { LanguageModel } from "../models/model.ts";
import { evaluateBatch } from "./pass.ts";

/** How well a model predicts sequences. */
export interface Evaluation {
  /** Mean −log p of the label tokens, nats. */
  loss: number;
  /** exp(loss). */
  perplexity: number;
  /** Label tokens. */
  tokens: number;
}

/** Loss over all label tokens of the sequences, each token weighing the same. */
export async function evaluate(
  model: LanguageModel,
  sequences: readonly Sequence[],
  { batchSize = 4 }: { batchSize?: number } = {},
): Promise<Evaluation> {
  let sum = 0;
  let tokens = 0;
  for (const batch of makeBatches(sequences, { batchSize, padTokenId: 0 })) {
    const loss = evaluateBatch(model, batch);
    try {
      sum += (await loss.read())[0] as number;
    } finally {
      model.device.memory.release(loss.storage);
    }
    tokens += batch.labelTokens;
  }
  const loss = sum / Math.max(1, tokens);
  return { loss, perplexity: Math.exp(loss), tokens };
}
