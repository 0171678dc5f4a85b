import shader from "../../shaders/cross-entropy.wgsl";
import { empty, type Tensor } from "../gpu/tensor.ts";
import type { Specialization } from "../gpu/wgsl.ts";
import { fail } from "../util/fail.ts";
import { perRow, reductionSize } from "./launch.ts";

/** What a cross-entropy may be beside −log p of the label. */
export interface LossShape {
  /** Share of each label that is spread over all classes, as PyTorch's `label_smoothing`; 0 unless given. */
  labelSmoothing?: number;
  /** Factor of the squared log of softmax's normaliser, which keeps that near 1: PaLM's z-loss. 0 unless given. */
  zLoss?: number;
}

/** Options of {@link crossEntropy}. */
export interface CrossEntropyOptions extends LossShape {
  /**
   * Factor of the gradient: 1 / number of label tokens of the whole optimiser step. Without it the logits stay as
   * they are and only the loss is computed.
   */
  scale?: number;
  /** Another factor of the gradient for each row, `[rows]`; 1 unless given. */
  weights?: Tensor;
  /** Where the losses go, `[rows]`; a tensor of their own unless given. */
  losses?: Tensor;
  /** Cap of `final_logit_softcapping`: the scores are cap · tanh(logits / cap). */
  softcap?: number;
  /** Columns that are scores, the others being padding below −1e29; all unless given. */
  classes?: number;
}

/**
 * Loss of each row, logsumexp(logits) − logits[label], unscaled. With `scale` the logits are **overwritten** by
 * the gradient of scale · Σ loss. A row whose label is negative (−100) has loss 0 and gradient 0.
 * @param logits `[rows, vocab]` f32
 * @param labels `[rows]` i32, each below vocab
 * @returns `[rows]` f32, in nats
 */
export function crossEntropy(
  logits: Tensor,
  labels: Tensor,
  { scale, weights, losses, softcap = 0, labelSmoothing = 0, zLoss = 0, classes }: CrossEntropyOptions = {},
): Tensor {
  if (labels.dtype !== "i32" || labels.size !== logits.rows) {
    fail("crossEntropy", `labels are [${labels.shape}] ${labels.dtype}, expected [${logits.rows}] i32`);
  }
  if (weights && weights.size !== logits.rows) {
    fail("crossEntropy", `weights are [${weights.shape}], expected [${logits.rows}]`);
  }
  const loss = losses ?? empty(logits.device, [logits.rows]);
  const { width, elem, WG, LANES, grid } = perRow(logits.device, logits.rows, logits.columns);
  const vectors: Specialization = width === 4 ? {} : { words: "u32", COLUMNS: "0u" };
  logits.device.run(shader, "forward", {
    bind: { logits, labels, loss, weights: weights ?? labels },
    params: {
      ...{ rows: logits.rows, cols: logits.columns / width, scale: scale ?? 0 },
      classes: classes ?? logits.columns,
    },
    constants: {
      ...{ elem, WIDTH: width, WG, LANES, ...vectors },
      GRADIENT: scale !== undefined,
      WEIGHTED: weights !== undefined,
      SOFTCAP: softcap,
      SMOOTHING: labelSmoothing,
      Z: zLoss,
    },
    grid,
  });
  return loss;
}

/** Σ loss as a tensor `[1]`, added to `into` where given. */
export function sumLosses(loss: Tensor, into?: Tensor): Tensor {
  const total = into ?? empty(loss.device, [1]);
  loss.device.run(shader, "sum_losses", {
    bind: { losses: loss, total },
    params: { rows: loss.size, cols: 0, scale: 0, classes: 0 },
    constants: { WG: reductionSize(loss.device, loss.size), ACCUMULATE: into !== undefined },
    grid: [1],
  });
  return total;
}
