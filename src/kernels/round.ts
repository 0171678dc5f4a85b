import type { Tensor } from "../gpu/tensor.ts";
import { decodingOf } from "./formats.ts";
import { Quantiser } from "./quantise.ts";
import { emptyWeight, type QuantisedWeight } from "./weight.ts";

/** Whole numbers from −127 to 127 and a scale in f32 for each 64 of them: 8.5 bits a value. */
const IN_8_BITS = decodingOf("int8", { block: 64 });

/**
 * Values rounded to 8 bits, the largest magnitude of each 64 neighbours being exact. Chen et al. 2021 (ActNN), arXiv
 * 2104.14129, train with activations that are kept so.
 * @param values f32
 */
export function roundTo8Bits(values: Tensor): QuantisedWeight {
  const { device, rows, columns } = values;
  const rounded = emptyWeight(device, [rows, columns], IN_8_BITS) as QuantisedWeight;
  new Quantiser(rounded).addAll(values);
  return rounded;
}
