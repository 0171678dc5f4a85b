import { fromArray, type Tensor } from "../gpu/tensor.ts";
import type { Embedding } from "./embedding.ts";
import { type Context, call } from "./module.ts";

/**
 * Learned position vectors of `[B, T]` tokens: the row of each token's place in its document, out of `table [P, d]`.
 * @param first row of position 0: some tables begin with rows that mean something else
 * @returns `[B, T, d]`; zeros beyond the table, where only a last token may lie that predicts nothing
 */
export function positionEmbedding(table: Embedding, context: Context, first = 0): Tensor {
  const { places, positions } = context.geometry;
  const rows = () =>
    fromArray(
      positions.device,
      places.map((place) => first + place),
      positions.shape,
    );
  return call(table, first === 0 ? positions : rows(), context);
}
