import * as ops from "../../autograd/ops.ts";
import type { Tape } from "../../autograd/tape.ts";
import { scoped, type Tensor } from "../../gpu/tensor.ts";
import { castToFloat } from "../../kernels/cast.ts";
import { columnScale } from "../../kernels/column-scale.ts";
import { biasGradient, multiply, zeros } from "../../kernels/elementwise.ts";
import { matmul } from "../../kernels/matmul.ts";
import { inverseNorms } from "../../kernels/row-norms.ts";
import { swapAxes } from "../../kernels/swap-axes.ts";
import type { Weight } from "../../kernels/weight.ts";
import { rowWindows } from "../../kernels/windows.ts";
import type { Embedding } from "../../nn/embedding.ts";
import type { SiteTensors, TensorPlans } from "../method.ts";
import { magnitudePlans } from "./dora.ts";

// DoRA of an embedding: y = m ⊙ (W + s A Bᵀ)[id] / ‖W + s A Bᵀ‖, the norms being those of the columns, over the whole
// vocabulary. PEFT's tuners/lora/dora.py, DoraEmbeddingLayer.

/** An embedding's direction: its frozen table `[V, d]` and the update. */
interface Direction {
  readonly weight: Weight;
  /** `[V, r]` */
  readonly A: Tensor;
  /** `[d, r]` */
  readonly B: Tensor;
  readonly scale: number;
}

/** Its tensors beside lora_embedding_A and _B: magnitudes `[d]`, which begin as the norms of the table's columns. */
export function doraEmbeddingPlans({ tensors: { weight } }: Embedding): TensorPlans {
  return magnitudePlans(weight.columns, () => columnSquares(weight));
}

/** y, the table's vectors with their updates, as DoRA scales it. */
export function doraEmbedding(
  tape: Tape | undefined,
  y: Tensor,
  tensors: SiteTensors,
  direction: Direction,
): Tensor {
  const fixed = inverseColumnNorms(tensors, direction);
  return ops.scaleColumns(tape, y, tensors.lora_magnitude_vector as Tensor, { fixed });
}

/** m ⊙ (W + s A Bᵀ) / ‖W + s A Bᵀ‖, `[V, d]` f32. @param whole W + s A Bᵀ */
export function doraMergedEmbedding(whole: Tensor, tensors: SiteTensors, direction: Direction): Tensor {
  const fixed = inverseColumnNorms(tensors, direction);
  return columnScale(whole, tensors.lora_magnitude_vector as Tensor, { fixed });
}

/** 1 / ‖W + s A Bᵀ‖ of each column, `[d]`: a constant to the backward pass. */
function inverseColumnNorms({ weight_squares: squares }: SiteTensors, direction: Direction): Tensor {
  const { weight, A, B, scale } = direction;
  // ‖W + s A Bᵀ‖² = ‖W‖² + Σₖ B P with P = 2 s Aᵀ W + s² (Aᵀ A) Bᵀ, `[r, d]`.
  const h = matmul(A, A, { layout: "TN", alpha: scale ** 2 });
  const extend = { h, e: transposed(B) };
  const P = matmul(transposed(A), weight, { layout: "NN", alpha: 2 * scale, extend });
  return inverseNorms(squares as Tensor, { B, P });
}

function transposed(x: Tensor): Tensor {
  const { rows, columns: cols } = x;
  return swapAxes(x, { rows, cols }).reshape([cols, rows]);
}

/** Bytes of the table that are squared at a time. */
const RUN = 2 ** 24;

/** Σ over the rows of W², `[d]`. */
export function columnSquares(weight: Weight): Tensor {
  const sums = zeros(weight.device, [weight.columns]);
  for (const { start, end } of rowWindows(weight, RUN)) {
    scoped(weight.device, () => {
      const rows = castToFloat(weight.slice(start, end));
      return biasGradient(multiply(rows, rows), sums);
    });
  }
  return sums;
}
