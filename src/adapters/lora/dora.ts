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

/**
 * The tensors of DoRA beside lora_A and lora_B: magnitudes, which begin as the norms of the rows of the weight, for B A
 * is 0 then; and the squares of these, which stay, so that a step does not read the weight for them.
 */
export function doraPlans({ weight, outFeatures }: Linear): TensorPlans {
  const squares = () => rowSquares(castToFloat(weight));
  const norms = () => {
    const known = squares();
    return columnScale(known, inverseNorms(known));
  };
  return {
    lora_magnitude_vector: { shape: [outFeatures], begin: norms },
    weight_squares: { shape: [outFeatures], begin: squares, trained: false },
  };
}

/** m / ‖W + s B A‖ of each output, `[out]`; its gradient is that of the magnitude alone. */
export function doraFactors(
  tape: Tape | undefined,
  { lora_magnitude_vector: magnitude, weight_squares: squares }: SiteTensors,
  { weight, A, B, scale }: Direction,
): Tensor {
  // ‖W + s B A‖² = ‖W‖² + Σₖ B P with P = 2 s A Wᵀ + s² (A Aᵀ) Bᵀ, `[r, out]`.
  const h = { of: matmul(A, A, { layout: "NT", alpha: scale ** 2 }), first: 0, count: A.rows };
  const P = matmul(A, weight, { layout: "NT", alpha: 2 * scale, extend: { h, e: B } });
  return ops.scaleColumns(tape, magnitude as Tensor, inverseNorms(squares as Tensor, { B, P }));
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
  return ops.scaleColumns(tape, turned, doraFactors(tape, tensors, { weight, A, B, scale }), bias);
}

/** Changes what a layer with other adapters, or with dropout, gives: as PEFT adds to the result so far. */
export function doraBehind(
  tape: Tape | undefined,
  x: Tensor,
  result: Tensor,
  { weight, bias, tensors, dropout, ...rest }: DoraPass,
): Tensor {
  const { A, B, scale } = rest;
  const factors = doraFactors(tape, tensors, { weight, A, B, scale });
  const input = ops.dropout(tape, x, dropout);
  const update = ops.linear(tape, ops.linear(tape, input, A), B);
  if (dropout.p === 0) {
    const rest = bias && ops.add(tape, bias, ops.scaleColumns(tape, bias, factors), -1);
    return ops.scaleColumns(tape, ops.add(tape, result, update, scale), factors, rest);
  }
  const own = ops.linear(tape, input, weight);
  const turned = ops.scaleColumns(tape, ops.add(tape, own, update, scale), factors);
  return ops.add(tape, ops.add(tape, result, own, -1), turned);
}

/** m ⊙ (W + s B A) / ‖W + s B A‖, `[out, in]` f32. @param whole W + s B A */
export function doraMerged(whole: Tensor, tensors: SiteTensors, direction: Direction): Tensor {
  return rowScale(whole, doraFactors(undefined, tensors, direction));
}
