import { NO_HALVES } from "../gpu/launch.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Specialization } from "../gpu/wgsl.ts";
import { LoraError } from "../util/fail.ts";

// What activations and their gradients lie in: f32, or halves (f16) in mixed precision. Kernels compute in f32 either way.

/** A shader's type of what halves lie in, for its type of what they are computed in. */
const HALVES = { vec4f: "vec4<f16>", f32: "f16" } as const;

/**
 * The shader's type for tensors of activations that one alias is for; nothing where they are f32, which is its default.
 * @param tensors of one type; those of integers are not looked at
 */
export function storedAs(
  where: string,
  elem: keyof typeof HALVES,
  tensors: readonly Tensor[],
  alias = "stored",
): Specialization {
  const halves = tensors.filter(({ dtype }) => dtype === "f16").length;
  if (halves === 0) return NOTHING;
  const floats = tensors.filter(({ dtype }) => dtype === "f32").length;
  if (floats > 0) {
    const message = `activations of f16 (${halves}) and of f32 (${floats}) meet`;
    throw new LoraError("unsupported", where, message, NO_HALVES);
  }
  return { [alias]: HALVES[elem] };
}

const NOTHING: Specialization = Object.freeze({});
