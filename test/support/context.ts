import type { Tensor } from "../../src/gpu/tensor.ts";
import { placeTokens, wholeRows } from "../../src/nn/geometry.ts";
import type { Context } from "../../src/nn/module.ts";

/**
 * The context of a pass without gradients.
 * @param ids `[B, T]`
 * @param lengths of the rows before they were padded on the right; whole rows unless given
 */
export function contextOf({ device, shape }: Tensor, lengths?: readonly number[]): Context {
  const [batchSize = 0, length = 0] = shape;
  const layout = wholeRows(batchSize, length);
  const documents = lengths?.map((length, row) => ({ row, first: 0, length })) ?? layout.documents;
  return { training: false, seed: 0, geometry: placeTokens(device, { ...layout, documents }) };
}
