import shader from "../../shaders/cast.wgsl";
import { empty, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { perElement } from "./launch.ts";
import { rowWindows } from "./windows.ts";

/** Values of the shader's `FORMAT`. */
const FORMATS = { bf16: 1, f16: 2 } as const;

/**
 * f32 values as bf16 or f16, rounded to nearest with ties to even, as PyTorch does.
 * @param limitBytes see {@link rowWindows}
 */
export function castToWords(x: Tensor, dtype: "bf16" | "f16", limitBytes = bindingLimit(x)): Tensor {
  if (x.dtype !== "f32") fail("castToWords", `the tensor is ${x.dtype}, expected f32`);
  const result = empty(x.device, x.shape, dtype);
  // A value is four bytes on one side and two on the other: windows of the small side are also windows of the large.
  for (const { start, end } of rowWindows(result, limitBytes / 2)) {
    const part = x.slice(start, end);
    const { WG, grid } = perElement(x.device, Math.ceil(part.size / 2), 1);
    x.device.run(shader, "to_words", {
      bind: { x: part, words_out: result.slice(start, end) },
      params: { count: part.size },
      constants: { FORMAT: FORMATS[dtype], WG },
      grid,
    });
  }
  return result;
}

/**
 * bf16 or f16 values as f32, exactly; an f32 tensor is returned as it is.
 * @param limitBytes see {@link rowWindows}
 */
export function castToFloat(words: Tensor, limitBytes = bindingLimit(words)): Tensor {
  const { device, dtype } = words;
  if (dtype === "f32") return words;
  if (dtype !== "bf16" && dtype !== "f16")
    fail("castToFloat", `the tensor is ${dtype}, expected bf16 or f16`);
  const result = empty(device, words.shape);
  for (const { start, end } of rowWindows(words, limitBytes / 2)) {
    const y = result.slice(start, end);
    const { WG, grid } = perElement(device, y.size, 1);
    device.run(shader, "to_floats", {
      bind: { words: words.slice(start, end), y },
      params: { count: y.size },
      constants: { FORMAT: FORMATS[dtype], WG },
      grid,
    });
  }
  return result;
}

const bindingLimit = ({ device }: Tensor): number => device.bindingLimit;
