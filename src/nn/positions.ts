import * as ops from "../autograd/ops.ts";
import { fromArray, type Tensor } from "../gpu/tensor.ts";
import type { Context } from "./module.ts";

/**
 * Learned position vectors of `[B, T]` tokens: the row of each token's place in `table [P, d]`.
 * @param first row of position 0: some tables begin with rows that mean something else
 * @returns `[B, T, d]`; zeros for padding that lies beyond the table
 */
export function positionEmbedding(
  table: Tensor,
  [batch = 0, length = 0]: readonly number[],
  { tape, cache }: Context,
  first = 0,
): Tensor {
  const start = first + (cache?.length ?? 0);
  const rows = Uint32Array.from({ length: batch * length }, (_, i) => start + (i % length));
  return ops.embedding(tape, table, fromArray(table.device, rows, [batch, length]));
}
