import shader from "../../shaders/cast.wgsl";
import { empty, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { perElement } from "./launch.ts";
import { rowWindows } from "./windows.ts";

/** Values of the shader's `FORMAT`. */
const FORMATS = { bf16: 1, f16: 2 } as const;

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
  // A value is two bytes on one side and four on the other: windows of the large side are also windows of the small.
  for (const { start, end } of rowWindows(words, limitBytes / 2)) {
    const y = result.slice(start, end);
    const { WG, grid } = perElement(device, y.size, 1);
    device.run(shader, "forward", {
      bind: { words: words.slice(start, end), y },
      params: { count: y.size },
      constants: { FORMAT: FORMATS[dtype], WG },
      grid,
    });
  }
  return result;
}

const bindingLimit = ({ device }: Tensor): number => device.bindingLimit;
