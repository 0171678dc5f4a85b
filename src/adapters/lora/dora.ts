import * as ops from "../../autograd/ops.ts";
import type { Tape } from "../../autograd/tape.ts";
import type { Tensor } from "../../gpu/tensor.ts";
import { castToFloat } from "../../kernels/cast.ts";
import { columnScale, rowScale } from "../../kernels/column-scale.ts";
import { matmul } from "../../kernels/matmul.ts";
import { inverseNorms, rowSquares } from "../../kernels/row-norms.ts";
import type { Linear } from "../../nn/linear.ts";
import type { SiteTensors, TensorPlans } from "../method.ts";

// Weight-decomposed LoRA: y = m ⊙ (W + s B A) x / ‖W + s B A‖ + b, the norm of each row taken for a constant by the backward
// pass. Liu et al. 2024, arXiv 2402.09353; PEFT's tuners/lora/dora.py.

/** A layer's direction: its frozen weight and the update. */
interface Direction {
  readonly weight: Linear["weight"];
  readonly A: Tensor;
  readonly B: Tensor;
  readonly scale: number;
}

/** The tensors of DoRA beside lora_A and lora_B at a linear layer; magnitudes begin as the norms of the rows of its weight. */
export function doraPlans({ weight, outFeatures }: Linear): TensorPlans {
  return magnitudePlans(outFeatures, () => rowSquares(castToFloat(weight)));
}

/**
 * Magnitudes, which begin as the norms of the weight alone, for B A is 0 then; and the squares of these, which stay, so that
 * a step does not read the weight for them.
 */
export function magnitudePlans(size: number, squares: () => Tensor): TensorPlans {
  const norms = () => {
    const known = squares();
    return columnScale(known, inverseNorms(known));
  };
  return {
    lora_magnitude_vector: { shape: [size], begin: norms },
    weight_squares: { shape: [size], begin: squares, trained: false },
  };
}

/** 1 / ‖W + s B A‖ of each output, `[out]`: a constant to the backward pass. */
function directionNorms({ weight_squares: squares }: SiteTensors, direction: Direction): Tensor {
  const { weight, A, B, scale } = direction;
  // ‖W + s B A‖² = ‖W‖² + Σₖ B P with P = 2 s A Wᵀ + s² (A Aᵀ) Bᵀ, `[r, out]`.
  const h = { of: matmul(A, A, { layout: "NT", alpha: scale ** 2 }), first: 0, count: A.rows };
  const P = matmul(A, weight, { layout: "NT", alpha: 2 * scale, extend: { h, e: B } });
  return inverseNorms(squares as Tensor, { B, P });
}

/** y ↦ m ⊙ y / ‖W + s B A‖ + bias: what makes of (W + s B A) x what DoRA gives. */
export function doraScaling(
  tape: Tape | undefined,
  tensors: SiteTensors,
  direction: Direction,
): (y: Tensor, bias?: Tensor) => Tensor {
  const fixed = directionNorms(tensors, direction);
  const magnitude = tensors.lora_magnitude_vector as Tensor;
  return (y, bias) => ops.scaleColumns(tape, y, magnitude, { fixed, bias });
}

/** What a pass through a layer with DoRA needs. */
export interface DoraPass extends Direction {
  readonly bias: Tensor | undefined;
  readonly tensors: SiteTensors;
  /** Of the update's input, and of the layer's own where DoRA changes what it gives. */
  readonly dropout: { readonly p: number; readonly seed: number };
}

/** Computes a layer and its update, neither of which is dropped, in one kernel. */
export function doraLayer(
  tape: Tape | undefined,
  x: Tensor,
  { weight, bias, tensors, ...rest }: DoraPass,
): Tensor {
  const { A, B, scale } = rest;
  const lora = { A, scale, dropout: 0, seed: 0 };
  const turned = ops.linear(tape, x, weight, { B, lora });
  return doraScaling(tape, tensors, { weight, A, B, scale })(turned, bias);
}

/** Changes what a layer with other adapters, or with dropout, gives: as PEFT adds to the result so far. */
export function doraBehind(
  tape: Tape | undefined,
  x: Tensor,
  result: Tensor,
  { weight, bias, tensors, dropout, ...rest }: DoraPass,
): Tensor {
  const { A, B, scale } = rest;
  const scaled = doraScaling(tape, tensors, { weight, A, B, scale });
  const input = ops.dropout(tape, x, dropout);
  const update = ops.linear(tape, ops.linear(tape, input, A), B);
  if (dropout.p === 0) {
    const rest = bias && ops.add(tape, bias, scaled(bias), -1);
    return scaled(ops.add(tape, result, update, scale), rest);
  }
  const own = ops.linear(tape, input, weight);
  const turned = scaled(ops.add(tape, own, update, scale));
  return ops.add(tape, ops.add(tape, result, own, -1), turned);
}

/** m ⊙ (W + s B A) / ‖W + s B A‖, `[out, in]` f32. @param whole W + s B A */
export function doraMerged(whole: Tensor, tensors: SiteTensors, direction: Direction): Tensor {
  const magnitude = tensors.lora_magnitude_vector as Tensor;
  return rowScale(whole, columnScale(magnitude, directionNorms(tensors, direction)));
}
