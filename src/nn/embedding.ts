import * as ops from "../autograd/ops.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Weight } from "../kernels/weight.ts";
import { largest } from "../util/arrays.ts";
import { type Context, type Leaf, type Module, tensorsOf } from "./module.ts";
import type { Weights } from "./weights.ts";

/** A table of vectors: ids u32 or i32 `[B, T]` → `[B, T, d]`; zeros for ids outside the table. */
export interface Embedding extends Leaf {
  /** Tells it from other modules. */
  readonly kind: "embedding";
  /** `[V, d]` */
  readonly tensors: { readonly weight: Weight };
}

/**
 * An embedding from `weights.weight`.
 * @param dense it is small, so that it isn't quantised where matrices are
 */
export function embedding(
  weights: Weights,
  rows: number,
  columns: number,
  { dense = false }: { dense?: boolean } = {},
): Embedding {
  const shape = [rows, columns] as const;
  const weight = dense ? weights.tensor("weight", shape) : weights.weight("weight", shape);
  const table: Embedding = {
    kind: "embedding",
    path: weights.path,
    children: [],
    tensors: { weight },
    forward: (ids, context) => ops.embedding(context.tape, tensorsOf(table, context).weight, ids),
  };
  return table;
}

/** Tells the noise of a pass from its dropout. */
const NOISE_SEED = 0x4e454654;

/**
 * NEFTune (Jain et al. 2023, arXiv 2310.05914): while training, uniform noise of magnitude α / √(T·d) on the embeddings of the
 * words, as transformers' `neftune_post_forward_hook` adds it; T are the tokens of the longest row.
 * @param words `[B, T, d]`: as they leave the table and what adapts it
 */
export function withNoise(words: Tensor, context: Context): Tensor {
  const { tape, training, seed, geometry, embeddingNoise = 0 } = context;
  if (!training || embeddingNoise === 0) return words;
  const widths = new Map<number, number>();
  for (const { row, length } of geometry.documents) widths.set(row, (widths.get(row) ?? 0) + length);
  const elements = largest([...widths.values()]) * (words.shape.at(-1) as number);
  const magnitude = embeddingNoise / Math.sqrt(elements);
  return ops.addNoise(tape, words, { magnitude, seed: (seed ^ NOISE_SEED) >>> 0 });
}

/** Whether a module is a table of vectors. */
export function isEmbedding(module: Module): module is Embedding {
  return (module as Partial<Embedding>).kind === "embedding";
}
