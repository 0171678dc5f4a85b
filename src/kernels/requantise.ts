import { fromArray, scoped } from "../gpu/tensor.ts";
import type { Decoding } from "./formats.ts";
import { Quantiser } from "./quantise.ts";
import { emptyWeight, type QuantisedWeight } from "./weight.ts";

/**
 * Other values in the format of a quantised weight, in memory of their own that lives until it is released.
 * @param values as many as it has
 * @param decoding how they are to lie: as those of the weight, unless given
 * @throws LoraError where the format is one that is only read
 */
export async function requantised(
  like: QuantisedWeight,
  values: Float32Array,
  decoding: Decoding = like.decoding,
): Promise<QuantisedWeight> {
  const { device, shape } = like;
  const weight = device.memory.persistent(() => emptyWeight(device, shape, decoding)) as QuantisedWeight;
  const quantiser = new Quantiser(weight);
  scoped(device, () => {
    quantiser.addAll(fromArray(device, values, shape));
    return undefined;
  });
  await quantiser.finish();
  return weight;
}
