// What products of one input in a single dispatch take.
import type { Tensor } from "../gpu/tensor.ts";
import type { Columns } from "./matmul-problem.ts";
import type { RmsNormOptions } from "./rms-norm.ts";
import type { Weight } from "./weight.ts";

/** One of several layers of an input, with its low-rank branch. */
export interface TogetherPart {
  /** `[n, k]` */
  readonly weight: Weight;
  readonly extend?: { readonly h: Columns; readonly e: Tensor } | undefined;
}

/** RMSNorm of x on the way into a product. */
export interface InputNorm extends RmsNormOptions {
  /** `[k]` f32 */
  readonly weight: Tensor;
}
