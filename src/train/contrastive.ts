import { linearCrossEntropy, targetsOfAll } from "../autograd/loss.ts";
import type { TokenBatch } from "../data/batch.ts";
import { checkItems, idsProblem } from "../data/check-items.ts";
import { padRows } from "../data/label-batch.ts";
import type { SentenceEncoder } from "../models/model.ts";
import { checkModel } from "../nn/module.ts";
import { checkOptions, number, type Rules } from "../util/options.ts";
import { uploadTokens } from "./language-modelling.ts";
import type { Counted, Objective } from "./objective.ts";

/** Factor of the cosines unless told otherwise: that of sentence-transformers. */
const SCALE = 20;

/** Two texts that mean the same, as tokens. */
export interface TextPair {
  /** Token ids of one text. */
  readonly first: readonly number[];
  /** Token ids of the text that belongs to it. */
  readonly second: readonly number[];
}

/** Pairs side by side: all first texts, then all second ones. */
export interface TextPairs extends Counted {
  readonly first: TokenBatch;
  readonly second: TokenBatch;
}

/** Options of {@link contrastive}. */
export interface ContrastiveOptions {
  /** Factor of the cosines; 20 unless given. */
  scale?: number;
}

const RULES: Rules<ContrastiveOptions> = { scale: number({ above: 0, max: 1e6 }) };

/**
 * Finding each text's partner among the second texts of the batch: cross-entropy over scale · cosine, the others
 * being the negatives. Henderson et al. 2017, arXiv 1705.00652.
 * A batch of one pair has nothing to tell apart and gives no loss.
 */
export function contrastive(
  model: SentenceEncoder,
  options: ContrastiveOptions = {},
): Objective<TextPair, TextPairs> {
  checkOptions("contrastive", options, RULES);
  checkModel("contrastive", model);
  const { scale: logitScale = SCALE } = options;
  const { device, root, adapters, config } = model;
  const problemOf = ({ first, second }: TextPair) =>
    idsProblem(first, config, "first") ?? idsProblem(second, config, "second");
  return {
    device,
    root,
    adapters,
    problemOf,
    comparesItems: true,
    lengthOf: ({ first, second }) => first.length + second.length,
    collate(items) {
      checkItems("collate", items, { problemOf });
      const first = padRows(items.map(({ first }) => first));
      const second = padRows(items.map(({ second }) => second));
      return { first, second, tokens: first.tokens + second.tokens, terms: items.length };
    },
    loss({ first, second }, context) {
      const embed = (batch: TokenBatch) => {
        const { ids, ...tokens } = uploadTokens(model, batch);
        return model.embed(ids, { ...context, ...tokens });
      };
      const [queries, keys] = [embed(first), embed(second)];
      const partners = targetsOfAll(Int32Array.from({ length: queries.rows }, (_, i) => i));
      return linearCrossEntropy(context.tape, queries, keys, partners, { logitScale });
    },
  };
}
