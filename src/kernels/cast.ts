import shader from "../../shaders/cast.wgsl";
import { empty, Tensor } from "../gpu/tensor.ts";
import { perElement } from "./launch.ts";
import { firstValue, scaleBindings, type Weight, weightDecoding } from "./weight.ts";
import { commonWindows } from "./windows.ts";

/**
 * A weight's values as f32, exactly for bf16 and f16; an f32 tensor is returned as it is.
 * @param limitBytes most bytes of one binding; tests give less
 */
export function castToFloat(weight: Weight, limitBytes = weight.device.bindingLimit): Tensor {
  const { device, shape, byteLength } = weight;
  const decoding = weightDecoding(weight);
  if (weight instanceof Tensor && decoding.format === "f32") return weight;
  const result = empty(device, shape);
  const rows = shape[0] ?? 1;
  const rowBytes = [result.byteLength / rows, byteLength / rows];
  for (const { start, end } of commonWindows(rows, rowBytes, limitBytes)) {
    const y = result.slice(start, end);
    const part = weight.slice(start, end);
    const { WG, grid } = perElement(device, y.size, 1);
    device.run(shader, weight.scales ? "dequantise" : "forward", {
      bind: { words: part.words, y, ...(weight.scales && scaleBindings(part)) },
      params: { count: y.size, b_first: firstValue(part) },
      constants: { ...decoding.constants, WG },
      grid,
    });
  }
  return result;
}
