import { empty, fromArray, scoped, type Tensor } from "../gpu/tensor.ts";
import { Quantiser } from "./quantise.ts";
import { QuantisedWeight } from "./weight.ts";

/**
 * Other values in the format of a quantised weight, in memory of their own that lives until it is released.
 * @param values as many as it has
 * @throws LoraError where the format is one that is only read
 */
export async function requantised(like: QuantisedWeight, values: Float32Array): Promise<QuantisedWeight> {
  const { device } = like;
  const part = ({ shape, dtype }: Tensor) => device.memory.persistent(() => empty(device, shape, dtype));
  const weight = new QuantisedWeight({
    ...like,
    words: part(like.words),
    scales: part(like.scales),
    zeros: like.zeros && part(like.zeros),
  });
  const quantiser = new Quantiser(weight);
  scoped(device, () => {
    quantiser.add(fromArray(device, values, like.shape), 0);
    return undefined;
  });
  await quantiser.finish();
  return weight;
}
