import tiled from "../../shaders/attention.wgsl";
import backward from "../../shaders/attention-backward.wgsl";
import decode from "../../shaders/attention-decode.wgsl";
import type { Device } from "../gpu/device.ts";
import type { Launch } from "../gpu/kernel.ts";
import { beforeMatrixUnits, type MatrixUnits, matrixModule } from "../gpu/subgroup-matrix.ts";
import { empty, emptyLike, scoped, type Tensor } from "../gpu/tensor.ts";
import type { Specialization } from "../gpu/wgsl.ts";
import { fail } from "../util/fail.ts";
import { late } from "../util/late.ts";
import type { AttentionPass, AttentionTile } from "./attention-matrix.ts";
import { RASTERISER_SHADERS } from "./late-shaders.ts";
import { storedAs } from "./stored.ts";

const MATRIX = late(() => import("../../shaders/attention-subgroup-matrix.wgsl"));
const MATRIX_BACKWARD = late(() => import("../../shaders/attention-subgroup-matrix-backward.wgsl"));
const MATRIX_TILES = late(() => import("./attention-matrix.ts"));
beforeMatrixUnits(MATRIX_TILES.load);
beforeMatrixUnits(MATRIX.load);
beforeMatrixUnits(MATRIX_BACKWARD.load);

/** Queries, and keys, that one workgroup of the tiled kernels owns; BLOCK of the shaders. */
const BLOCK = 32;
/** The same for the subgroup kernels; ROWS of the shaders. */
const SUBGROUP_ROWS = 16;
/** Queries times heads of one workgroup of the statistics kernel; ROWS of the shader. */
const STATISTICS_ROWS = 64;
/** The tiled kernels keep this many columns of a head in registers. */
const MAX_HEAD_DIM = 256;

/** More positions than any sequence has, and small enough to be added to one in 32 bits. */
const FAR_AHEAD = 2 ** 30;

/** Options of attention. */
export interface AttentionOptions {
  /** Factor of q·k, usually 1/√D. */
  scale: number;
  /**
   * For each token the first key that it may see and the end of the keys of its document, u32 `[B, T, 2]`, in rows of k.
   * Documents are contiguous, the tokens' own keys are the last ones of a row, and padding is a document of length 0: `(s, s)`
   * before the documents, which begin at s; `(E, e)` after them, where E is the end of the row's keys and e the documents'.
   */
  spans: Tensor;
  /** A query sees no key after its own; true unless given. */
  causal?: boolean;
  /** A query sees this many keys up to and including its own; 0 (the default): all. */
  window?: number;
  /** Scores become softcap · tanh(s / softcap); 0 (the default): unchanged. */
  softcap?: number;
  /** One more score of each head, f32 `[H]`, that takes its share of the softmax and mixes nothing in; frozen. */
  sinks?: Tensor | undefined;
  /** Takes the kernels that run everywhere even where others are faster; for tests and comparisons. */
  portable?: boolean;
  /**
   * Whether to compute on matrix units, whose operands are rounded to f16: where they fit unless given; `true` is refused where
   * they do not.
   */
  matrixUnits?: boolean;
  /** Takes these kernels whatever was measured: {@link attentionVariants} that a device has. For measuring. */
  variant?: AttentionVariant;
}

/** Kernels of attention: on matrix units where a pass fits them, or without. */
export type AttentionVariant = "matrix" | "plain";

/** The variants that a device has for heads of this size, first the one that is taken unless a measurement says otherwise. */
export function attentionVariants(
  device: Device,
  headDim: number,
): [AttentionVariant, ...AttentionVariant[]] {
  const fits = (pass: AttentionPass) =>
    MATRIX_TILES.loaded().attentionTile(device, pass, headDim) !== undefined;
  const hasTile = device.info.matrixUnits !== undefined && (fits("forward") || fits("backward"));
  return hasTile ? ["matrix", "plain"] : ["plain"];
}

/**
 * o = softmax(scale · q kᵀ + mask) v, head by head, in memory linear in T: no matrix of scores is stored.
 * FlashAttention-2, Dao 2023, arXiv 2307.08691.
 * @param q `[B, T, H, D]` f32, or f16 with k and v
 * @param k `[B, capacity, Hkv, D]`; query head h uses head ⌊h · Hkv / H⌋
 * @param v like k
 * @returns o like q, and logsumexp `[B, H, T]` of each query's scores, which the backward pass needs.
 */
export function attention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: AttentionOptions,
): { o: Tensor; logsumexp: Tensor } {
  const { batch, queries, heads } = checkInputs(q, k, v, options);
  const o = emptyLike(q);
  const logsumexp = empty(q.device, [batch, heads, queries]);
  const bind = { ...inputs(q, k, v, options), o, logsumexp, sinks: options.sinks ?? q };
  const grid = (rows: number) => [Math.ceil(queries / rows), heads, batch] as const;
  const tile = matrixTile(q, "forward", options);
  if (tile) {
    const { params, constants } = forwardSettings(q, k, options);
    const launch = { bind, params, constants: { ...constants, ...tile.constants }, grid: grid(tile.rows) };
    q.device.run(
      matrixModule(MATRIX.loaded().default, q.device.info.matrixUnits as MatrixUnits),
      "forward",
      launch,
    );
  } else {
    const SG = subgroupLanes(q, options);
    const launch = { bind, ...forwardSettings(q, k, options, SG), grid: grid(SG ? SUBGROUP_ROWS : BLOCK) };
    q.device.run(SG ? RASTERISER_SHADERS.loaded().attention : tiled, "forward", launch);
  }
  return { o, logsumexp };
}

/**
 * {@link attention} of one query a sequence, without what a backward pass needs: a step of text generation.
 * @param q `[B, 1, H, D]` f32
 */
export function attentionDecode(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions): Tensor {
  const { batch, queries, heads, kvHeads } = checkInputs(q, k, v, options);
  if (queries !== 1) fail("attentionDecode", `q [${q.shape}] has ${queries} queries`, "use attention");
  const o = empty(q.device, q.shape);
  const SG = subgroupLanes(q, options);
  const GROUP = SG ? headsTogether(heads / kvHeads, q.columns / (4 * SG)) : 1;
  const { params, constants } = forwardSettings(q, k, options, SG);
  q.device.run(SG ? RASTERISER_SHADERS.loaded().attentionDecode : decode, "forward", {
    bind: { ...inputs(q, k, v, options), o, sinks: options.sinks ?? q },
    params,
    constants: SG ? { ...constants, GROUP } : { ...constants, COLUMNS: columnLanes(q.columns) },
    grid: [heads / GROUP, batch],
  });
  return o;
}

/** Heads of the same keys that a subgroup takes: a divisor of all of them, with sums that fit its registers. */
function headsTogether(heads: number, vectors: number): number {
  const most = Math.max(1, Math.floor(8 / vectors));
  for (let count = Math.min(heads, most); count > 1; count--) if (heads % count === 0) return count;
  return 1;
}

/** Lanes along a head in the decoding kernel: the power of two from its number of vectors. */
function columnLanes(headDim: number): number {
  return 2 ** Math.ceil(Math.log2(Math.ceil(headDim / 4)));
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
  const { q, k, v, o, logsumexp } = saved;
  const { batch, queries, heads } = checkInputs(q, k, v, saved);
  if (dO.size !== q.size || dO.dtype !== q.dtype)
    fail("attentionBackward", `dO is ${dO.dtype} [${dO.shape}], expected ${q.dtype} [${q.shape}]`);
  const [dq, dk, dv] = scoped(q.device, () => {
    const stats = empty(q.device, [batch, heads, queries, 2]);
    q.device.run(backward, "statistics", {
      bind: { d_o: dO, o, logsumexp, stats_out: stats },
      ...settings(q, k, saved),
      grid: [Math.ceil((queries * heads) / STATISTICS_ROWS), batch],
    });
    const gradients = [emptyLike(q), emptyLike(k), emptyLike(v)] as const;
    const bind = { ...inputs(q, k, v, saved), d_o: dO, stats };
    const tile = matrixTile(q, "backward", saved);
    if (tile) launchMatrixBackward(bind, saved, gradients, tile);
    else if (subgroupLanes(q, saved)) launchSubgroupBackward(bind, saved, gradients);
    else launchTiledBackward(bind, saved, gradients);
    return gradients;
  });
  return { dq, dk, dv };
}

type Gradients = readonly [dq: Tensor, dk: Tensor, dv: Tensor];

function launchTiledBackward(bind: Launch["bind"], saved: AttentionSaved, [dq, dk, dv]: Gradients): void {
  const { device } = dq;
  const { batch, queries, heads, kvHeads, capacity } = sizes(dq, dk);
  const launch = settings(dq, dk, saved);
  const queryGrid = [Math.ceil(queries / BLOCK), heads, batch] as const;
  const keyGrid = [Math.ceil(capacity / BLOCK), kvHeads, batch] as const;
  device.run(backward, "backward_query", { bind: { ...bind, d_own: dq, dv }, ...launch, grid: queryGrid });
  device.run(backward, "backward_key", { bind: { ...bind, d_own: dk, dv }, ...launch, grid: keyGrid });
}

function launchSubgroupBackward(bind: Launch["bind"], saved: AttentionSaved, [dq, dk, dv]: Gradients): void {
  const { params, constants } = settings(dq, dk, saved, subgroupLanes(dq, saved));
  for (const d of [dq, dk]) {
    const [batch = 0, rows = 0, heads] = d.shape;
    d.device.run(RASTERISER_SHADERS.loaded().attentionBackward, "backward", {
      bind: { ...bind, d_own: d, dv },
      params,
      constants: { ...constants, BY_QUERY: d === dq },
      grid: [Math.ceil(rows / SUBGROUP_ROWS), heads, batch],
    });
  }
}

function launchMatrixBackward(
  bind: Launch["bind"],
  saved: AttentionSaved,
  [dq, dk, dv]: Gradients,
  tile: AttentionTile,
): void {
  const { params, constants } = settings(dq, dk, saved);
  const { device } = dq;
  for (const d of [dq, dk]) {
    const [batch = 0, rows = 0, heads] = d.shape;
    device.run(
      matrixModule(MATRIX_BACKWARD.loaded().default, device.info.matrixUnits as MatrixUnits),
      "backward",
      {
        bind: { ...bind, d_own: d, dv },
        params,
        constants: { ...constants, ...tile.constants, BY_QUERY: d === dq },
        grid: [Math.ceil(rows / tile.rows), heads, batch],
      },
    );
  }
}

/**
 * Lanes of a subgroup where the subgroup kernels are the faster ones, else 0: on CPU rasterisers, whose workgroup
 * memory and barriers are slow, for heads that fit a subgroup's registers.
 */
function subgroupLanes(q: Tensor, { portable = false }: AttentionOptions): number {
  const { info, profile } = q.device;
  const { subgroupSize: SG } = info;
  const fits = SG >= 4 && SG <= 16 && q.columns % 4 === 0 && q.columns <= 16 * SG;
  return fits && !profile.sharesWork && !portable ? SG : 0;
}

/** The tile on matrix units that computes attention, if one does. */
function matrixTile(
  q: Tensor,
  pass: AttentionPass,
  { portable = false, matrixUnits, variant }: AttentionOptions,
): AttentionTile | undefined {
  const { info, choices } = q.device;
  const chosen = variant ?? choices.get(attentionClass(q.columns));
  const isWanted = matrixUnits ?? (!portable && chosen !== "plain");
  const isThere = info.matrixUnits !== undefined;
  const tile =
    isWanted && isThere ? MATRIX_TILES.loaded().attentionTile(q.device, pass, q.columns) : undefined;
  if (matrixUnits && !tile)
    fail("attention", `no matrix units for heads of ${q.columns} columns here`, "leave matrixUnits out");
  return tile;
}

/** The class of calls that share a choice: `plain`, or matrix units where they fit. */
export const attentionClass = (headDim: number) => `attention D${headDim}`;

function inputs(q: Tensor, k: Tensor, v: Tensor, { spans }: AttentionOptions): Launch["bind"] {
  return { q, k, v, spans };
}

/** Params and constants that all the attention shaders share. */
function settings(
  q: Tensor,
  k: Tensor,
  options: AttentionOptions,
  SG = 0,
): Required<Pick<Launch, "params" | "constants">> {
  const { queries, heads, kvHeads, capacity, headDim } = sizes(q, k);
  const { scale, causal = true, window = 0, softcap = 0 } = options;
  return {
    params: {
      queries,
      key_stride: capacity,
      heads,
      kv_heads: kvHeads,
      window,
      ahead: causal ? 0 : FAR_AHEAD,
      scale,
      vectors: Math.ceil(headDim / 4),
    },
    constants: { HEAD_DIM: headDim, SOFTCAP: softcap, ...cells([q, k], SG > 0), ...(SG && { SG }) },
  };
}

/** {@link settings} of the kernels that know sinks: to the backward pass they are a part of logsumexp. */
function forwardSettings(q: Tensor, k: Tensor, options: AttentionOptions, SG = 0) {
  const { params, constants } = settings(q, k, options, SG);
  return { params, constants: { ...constants, SINKS: options.sinks !== undefined } };
}

/** What heads lie in, in vectors where they consist of those; kernels that write single values have another name for these. */
function cells(heads: readonly Tensor[], writesVectors: boolean): Specialization {
  const cell = heads.every(({ columns }) => columns % 4 === 0) ? "vec4f" : "f32";
  const halves = storedAs("attention", cell, heads, "cell");
  if (cell === "f32" && halves.cell)
    fail(
      "attention",
      `heads of ${heads[0]?.columns} columns in f16`,
      "mixed precision wants a multiple of four",
    );
  return { cell, ...halves, ...(!writesVectors && storedAs("attention", "f32", heads)) };
}

interface Sizes {
  batch: number;
  queries: number;
  heads: number;
  kvHeads: number;
  capacity: number;
  headDim: number;
}

function sizes(q: Tensor, k: Tensor): Sizes {
  const [batch = 0, queries = 0, heads = 0, headDim = 0] = q.shape;
  const [, capacity = 0, kvHeads = 0] = k.shape;
  return { batch, queries, heads, kvHeads, capacity, headDim };
}

function checkInputs(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions): Sizes {
  const known = sizes(q, k);
  const { batch, queries, heads, kvHeads, capacity, headDim } = known;
  const { spans, sinks } = options;
  const got = () => `q [${q.shape}], k [${k.shape}], v [${v.shape}]`; // putting it together takes as long as a dispatch
  if (q.shape.length !== 4 || k.shape.length !== 4 || q.size === 0 || k.size === 0) {
    fail("attention", `got ${got()}`, "q is [B, T, H, D], k and v are [B, S, Hkv, D]");
  }
  if (!k.shape.every((length, axis) => length === v.shape[axis]) || k.shape.length !== v.shape.length)
    fail("attention", `k and v differ: ${got()}`);
  if (k.shape[0] !== batch || k.shape[3] !== headDim || heads % kvHeads !== 0)
    fail("attention", `${got()} do not fit`);
  if (headDim > MAX_HEAD_DIM) fail("attention", `heads of ${headDim} columns exceed ${MAX_HEAD_DIM}`);
  if (queries > capacity)
    fail("attention", `${queries} queries for ${capacity} keys`, "each token has a key of its own");
  if (spans.dtype !== "u32" || spans.size !== 2 * batch * queries)
    fail("attention", `spans is ${spans.dtype} [${spans.shape}], expected u32 [${batch}, ${queries}, 2]`);
  if (sinks && (sinks.dtype !== "f32" || sinks.size !== heads))
    fail("attention", `sinks is ${sinks.dtype} [${sinks.shape}], expected f32 [${heads}]`);
  return known;
}
