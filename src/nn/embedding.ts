import * as ops from "../autograd/ops.ts";
import type { Weight } from "../kernels/weight.ts";
import { type Leaf, type Module, tensorsOf } from "./module.ts";
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

/** Whether a module is a table of vectors. */
export function isEmbedding(module: Module): module is Embedding {
  return (module as Partial<Embedding>).kind === "embedding";
}
