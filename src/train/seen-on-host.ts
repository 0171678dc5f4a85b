import type { LanguageModel } from "../models/model.ts";
import type { Geometry } from "../nn/geometry.ts";

/**
 * What a pass over tokens looks at on the host beside the sizes of its inputs and a cache: part of a replay's key. Undefined where that is
 * not known: the model's functions are not its own, or an adapter acts on certain tokens or rows only.
 */
export function seenOnHost(
  model: LanguageModel,
  { longest }: Pick<Geometry, "longest">,
): readonly unknown[] | undefined {
  const { hidden, logits, ownPasses, tables, adapters } = model;
  const isOwn = ownPasses?.hidden === hidden && ownPasses?.logits === logits;
  if (!tables || !isOwn || adapters.choosesTokens) return undefined;
  return [hidden, logits, adapters.active, ...tables(longest)];
}
