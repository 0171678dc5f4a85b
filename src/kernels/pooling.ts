import shader from "../../shaders/pooling.wgsl";
import { empty, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { perElement } from "./launch.ts";

/** Weights of the tokens, by the names that sentence-transformers has for the means: 1/n, 1/√n, or rising with t. */
const WEIGHTS = { mean: 0, mean_sqrt_len_tokens: 1, weightedmean: 2 } as const;

/** A weighted sum of the states of a sequence's tokens. */
export type MeanKind = keyof typeof WEIGHTS;

/** Which tokens are pooled, and how. */
export interface PoolOptions {
  /** A plain mean unless given. */
  kind?: MeanKind;
  /** Valid tokens of each right-padded sequence, u32 `[B]`; all are valid unless given. */
  lengths?: Tensor | undefined;
}

/**
 * y[b] = Σ w[t] · x[b, t] over the n valid tokens; w is 1/n, 1/√n, or (t + 1) / (1 + … + n).
 * @param x `[B, T, cols]` f32
 * @returns `[B, cols]`
 */
export function meanPool(x: Tensor, { kind = "mean", lengths }: PoolOptions = {}): Tensor {
  const [batch, tokens, cols] = checkShapes(x.shape, lengths);
  const y = empty(x.device, [batch, cols]);
  const { width, count, elem, WG, grid } = perElement(x.device, y.size, cols);
  x.device.run(shader, "forward", {
    bind: { x, lengths: lengths ?? x, y },
    params: { count, tokens, cols: cols / width, padded: lengths ? 1 : 0 },
    constants: { elem, WG, WEIGHTS: WEIGHTS[kind] },
    grid,
  });
  return y;
}

/**
 * dL/dx of {@link meanPool}, added to `into` where given.
 * @param dy `[B, cols]`
 * @param shape of x
 */
export function meanPoolBackward(
  dy: Tensor,
  shape: readonly number[],
  { kind = "mean", lengths }: PoolOptions = {},
  into?: Tensor,
): Tensor {
  const [, tokens, cols] = checkShapes(shape, lengths);
  const dx = into ?? empty(dy.device, shape);
  const { width, count, elem, WG, grid } = perElement(dy.device, dx.size, cols);
  dy.device.run(shader, "backward", {
    bind: { dy, lengths: lengths ?? dy, dx },
    params: { count, tokens, cols: cols / width, padded: lengths ? 1 : 0 },
    constants: { elem, WG, WEIGHTS: WEIGHTS[kind], ACCUMULATE: into !== undefined },
    grid,
  });
  return dx;
}

/**
 * y[b] = the largest of x[b, t] over the valid tokens, for each column on its own.
 * @param x `[B, T, cols]` f32
 * @param lengths see {@link PoolOptions}; at least 1
 * @returns `[B, cols]`
 */
export function maxPool(x: Tensor, lengths?: Tensor): Tensor {
  const [batch, tokens, cols] = checkShapes(x.shape, lengths);
  const y = empty(x.device, [batch, cols]);
  const { width, count, elem, WG, grid } = perElement(x.device, y.size, cols);
  x.device.run(shader, "max_forward", {
    bind: { x, lengths: lengths ?? x, y },
    params: { count, tokens, cols: cols / width, padded: lengths ? 1 : 0 },
    constants: { elem, WG },
    grid,
  });
  return y;
}

/**
 * dL/dx of {@link maxPool}, added to `into` where given: of equal tokens the first gets all.
 * @param dy `[B, cols]`
 */
export function maxPoolBackward(dy: Tensor, x: Tensor, lengths?: Tensor, into?: Tensor): Tensor {
  const [, tokens, cols] = checkShapes(x.shape, lengths);
  const dx = into ?? empty(dy.device, x.shape);
  const { width, count, elem, WG, grid } = perElement(dy.device, dy.size, cols);
  dy.device.run(shader, "max_backward", {
    bind: { x, dy, lengths: lengths ?? dy, dx },
    params: { count, tokens, cols: cols / width, padded: lengths ? 1 : 0 },
    constants: { elem, WG, ACCUMULATE: into !== undefined },
    grid,
  });
  return dx;
}

function checkShapes(shape: readonly number[], lengths: Tensor | undefined): [number, number, number] {
  const [batch = 0, tokens = 0, cols = 0] = shape;
  if (shape.length !== 3) fail("pooling", `x is [${shape}], expected [B, T, cols]`);
  if (lengths && (lengths.dtype !== "u32" || lengths.size !== batch)) {
    fail("pooling", `lengths is ${lengths.dtype} [${lengths.shape}], expected u32 [${batch}]`);
  }
  return [batch, tokens, cols];
}
