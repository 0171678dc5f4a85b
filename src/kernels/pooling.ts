import shader from "../../shaders/pooling.wgsl";
import { empty, type Tensor } from "../gpu/tensor.ts";
import type { Specialization } from "../gpu/wgsl.ts";
import { fail } from "../util/fail.ts";
import { perElement } from "./launch.ts";

/** Weights of the tokens, by the names that sentence-transformers has for the means: 1/n, 1/√n, or rising with t. */
const WEIGHTS = { mean: 0, mean_sqrt_len_tokens: 1, weightedmean: 2 } as const;

/** A weighted sum of the states of a sequence's tokens. */
export type MeanKind = keyof typeof WEIGHTS;

/**
 * y[n] = Σ w[t] · x[first + t] over the tokens of document n; w is 1/count, 1/√count, or (t + 1) / (1 + … + count).
 * @param x `[B, T, cols]` f32
 * @param documents u32 `[N, 2]`: first token of each, counted over all rows, and how many it has, at least 1; in order
 * @returns `[N, cols]`
 */
export function meanPool(x: Tensor, documents: Tensor, kind: MeanKind = "mean"): Tensor {
  const y = empty(x.device, [documents.rows, x.columns]);
  run("forward", x.shape, documents, { size: y.size, bind: { x, y }, constants: { WEIGHTS: WEIGHTS[kind] } });
  return y;
}

/**
 * dL/dx of {@link meanPool}, added to `into` where given.
 * @param dy `[N, cols]`
 * @param shape of x
 */
export function meanPoolBackward(
  dy: Tensor,
  shape: readonly number[],
  documents: Tensor,
  kind: MeanKind = "mean",
  into?: Tensor,
): Tensor {
  const dx = into ?? empty(dy.device, shape);
  const constants = { WEIGHTS: WEIGHTS[kind], ACCUMULATE: into !== undefined };
  run("backward", shape, documents, { size: dx.size, bind: { dy, dx }, constants });
  return dx;
}

/**
 * y[n] = the largest of x over the tokens of document n, for each column on its own.
 * @param x `[B, T, cols]` f32
 * @param documents see {@link meanPool}
 * @returns `[N, cols]`
 */
export function maxPool(x: Tensor, documents: Tensor): Tensor {
  const y = empty(x.device, [documents.rows, x.columns]);
  run("max_forward", x.shape, documents, { size: y.size, bind: { x, y } });
  return y;
}

/**
 * dL/dx of {@link maxPool}, added to `into` where given: of equal tokens the first gets all.
 * @param dy `[N, cols]`
 */
export function maxPoolBackward(dy: Tensor, x: Tensor, documents: Tensor, into?: Tensor): Tensor {
  const dx = into ?? empty(dy.device, x.shape);
  const constants = { ACCUMULATE: into !== undefined };
  run("max_backward", x.shape, documents, { size: dy.size, bind: { x, dy, dx }, constants });
  return dx;
}

/** @param shape of x */
function run(
  entry: string,
  shape: readonly number[],
  documents: Tensor,
  { size, bind, constants }: { size: number; bind: Record<string, Tensor>; constants?: Specialization },
): void {
  const [batch = 0, length = 0, cols = 0] = shape;
  if (shape.length !== 3) fail("pooling", `x is [${shape}], expected [B, T, cols]`);
  if (documents.dtype !== "u32" || documents.shape.length !== 2 || documents.columns !== 2)
    fail("pooling", `documents is ${documents.dtype} [${documents.shape}], expected u32 [N, 2]`);
  const { device } = documents;
  const { width, count, elem, WG, grid } = perElement(device, size, cols);
  device.run(shader, entry, {
    bind: { ...bind, documents },
    params: { count, tokens: batch * length, cols: cols / width, documents: documents.rows },
    constants: { elem, WG, ...constants },
    grid,
  });
}
