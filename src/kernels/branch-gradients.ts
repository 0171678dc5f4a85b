import small from "../../shaders/branch-gradients-small.wgsl";
import type { Device } from "../gpu/device.ts";
import type { Region } from "../gpu/kernel.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Specialization } from "../gpu/wgsl.ts";
import { largest } from "../util/arrays.ts";
import { RASTERISER_SHADERS } from "./late-shaders.ts";
import { matmul } from "./matmul.ts";
import { hasOuterProducts } from "./matmul-shader.ts";
import { isSmallWhole, smallSide } from "./matmul-tile.ts";
import { coverOf, type InTwo, inTwoBuffers, placeIn } from "./regions.ts";

/** A layer's part of a low-rank branch that several layers of one input share. */
export interface BranchLayer {
  /** `[..., out]` f32: the gradient of its output */
  dy: Tensor;
  /** `[out, r]` f32 */
  B: Tensor;
  /** Like B: what dyᵀ h is added to; without it that product is left out. */
  dB?: Tensor | undefined;
  /** Its r columns among those of h and dh begin here. */
  first: number;
}

/** What the layers share. */
export interface BranchSums {
  /** `[..., Σ r]` f32 */
  h: Tensor;
  /** Like h; columns of no layer are left as they are. */
  dh: Tensor;
  scale: number;
}

/** A sum that nobody waits for: dA += dhᵀ x, of layers whose dh is there already. */
export interface InputSum {
  /** `[..., r]`: of all layers of one input */
  dh: Tensor;
  /** `[..., in]`: that input */
  x: Tensor;
  /** `[r, in]` */
  dA: Tensor;
}

/**
 * Gradients of y = h Bᵀ of each layer, where h = scale · x Aᵀ: writes dh = scale · dy B, and adds dyᵀ h to dB.
 * Layers of one input take one dispatch where a kernel fits, two each elsewhere.
 * @param before is added as well: in that dispatch, where its dA lies in one buffer with the dB
 */
export function branchGradients(layers: readonly BranchLayer[], sums: BranchSums, before?: InputSum): void {
  const { device } = sums.dh;
  let waiting = before;
  for (let i = 0, taken = 0; i < layers.length; i += taken) {
    const three = layers.slice(i, i + MOST);
    const two = three.slice(0, 2);
    const shared = shareWork(three, sums, waiting) ?? shareWork(two, sums, waiting);
    const fused = shared ? undefined : fuse(three, device);
    if (shared) {
      launchSmall(shared, sums);
      if (shared.before) waiting = undefined;
    } else if (fused) launch(fused, sums);
    else for (const layer of three) multiply(layer, sums);
    taken = (shared ?? { layers: three }).layers.length;
  }
  if (waiting) addInputSum(waiting);
}

/** Whether such a sum can come along with gradients of another branch: on GPUs, where it had best be computed by small blocks. */
export function canWait(sum: InputSum): boolean {
  const { profile, bindingLimit } = sum.x.device;
  return profile.sharesWork && isTaken(sum, bindingLimit);
}

/** Adds what nobody waits for. */
export function addInputSum({ dh, x, dA }: InputSum): void {
  matmul(dh, x, { layout: "TN", into: dA });
}

function multiply({ dy, B, dB, first }: BranchLayer, { h, dh, scale }: BranchSums): void {
  const count = B.columns;
  if (dB) matmul(dy, { of: h, first, count }, { layout: "TN", into: dB });
  matmul(dy, B, { layout: "NN", alpha: scale, out: { of: dh, first, count } });
}

/** Layers of which the kernel computes both products, and the bindings that hold their B and their dB. */
interface Fused {
  layers: readonly Sunk[];
  b: Region;
  db: Region;
}

/** Layers of one dispatch. */
const MOST = 3;
/** Columns of a branch that a subgroup owns; OWNED of the shader. */
const OWNED = 8;
/** With more columns products of their own are faster: they load dy for 32 columns at once. */
const FEW = 16;

/** Frozen: the pipeline cache recognises a frozen object by identity. */
const CONSTANTS = new Map([4, 8, 16].map((SG) => [SG, Object.freeze({ SG })]));

/** What the kernel needs, where it can compute these layers. */
function fuse(given: readonly BranchLayer[], device: Device): Fused | undefined {
  if (device.profile.sharesWork || !hasOuterProducts(device)) return undefined;
  const { bindingLimit } = device;
  const layers = withSinks(given);
  const isSmall = layers.every(
    ({ dy, B }) => dy.columns % 4 === 0 && B.columns <= FEW && dy.byteLength <= bindingLimit,
  );
  if (!isSmall || layers.length < given.length || !areAlike(layers)) return undefined;
  return covered(layers, bindingLimit);
}

type Sunk = BranchLayer & { dB: Tensor };

/** A kernel reads all dy as f32, or all as f16. */
const areAlike = (layers: readonly Sunk[]) => layers.every(({ dy }) => dy.dtype === layers[0]?.dy.dtype);

function constantsFor({ dtype }: Tensor, constants: Specialization | undefined): Specialization {
  return dtype === "f16" ? { ...constants, stored: "vec4<f16>" } : (constants ?? {});
}

function withSinks(given: readonly BranchLayer[]): Sunk[] {
  return given.filter((layer): layer is Sunk => layer.dB !== undefined);
}

/** The layers with what binds their B and dB, where a binding can. @param others lie with the dB */
function covered(
  layers: readonly Sunk[],
  bindingLimit: number,
  others: readonly Tensor[] = [],
): Fused | undefined {
  const b = coverOf(
    layers.map(({ B }) => B),
    bindingLimit,
  );
  const db = coverOf([...layers.map(({ dB }) => dB), ...others], bindingLimit);
  return b && db && { layers, b, db };
}

/**
 * What the kernels are told of the layers; where there are fewer than three, the first stands for the rest. One of them has no use for
 * some of it. Written out: spreading parts into one of so many fields takes longer than recording a dispatch.
 */
function paramsOf({ layers, b, db }: Fused, { h, scale }: BranchSums, row_blocks: number, shared?: Shared) {
  const [one] = layers as [Sunk];
  const [, second = one, third = one] = layers;
  const [at0, at1 = at0, at2 = at0] = shared?.dy.places ?? [NOWHERE];
  const before = shared?.before;
  return {
    rows: h.rows,
    ldh: h.columns,
    n0: one.dy.columns,
    n1: second.dy.columns,
    n2: third.dy.columns,
    r0: one.B.columns,
    r1: second.B.columns,
    r2: third.B.columns,
    first0: one.first,
    first1: second.first,
    first2: third.first,
    b0: placeIn(b, one.B),
    b1: placeIn(b, second.B),
    b2: placeIn(b, third.B),
    db0: placeIn(db, one.dB),
    db1: placeIn(db, second.dB),
    db2: placeIn(db, third.dB),
    scale,
    row_blocks,
    layers: layers.length,
    at0: at0.at,
    at1: at1.at,
    at2: at2.at,
    buffer0: at0.buffer,
    buffer1: at1.buffer,
    buffer2: at2.buffer,
    rows_before: before?.x.rows ?? 0,
    n_before: before?.x.columns ?? 0,
    r_before: before?.dh.columns ?? 0,
    da: before ? placeIn(db, before.dA) : 0,
  };
}

const NOWHERE: InTwo["places"][number] = { buffer: 0, at: 0 };

function launch(fused: Fused, sums: BranchSums): void {
  const { layers, b, db } = fused;
  const { h, dh } = sums;
  const { device } = dh;
  const SG = device.info.subgroupSize;
  const [one] = layers as [(typeof layers)[number]];
  const [, second = one, third = one] = layers;
  const row_blocks = Math.ceil(h.rows / (4 * SG));
  const widest = largest(layers.map(({ dy }) => dy.columns));
  const ranks = largest(layers.map(({ B }) => B.columns));
  device.run(RASTERISER_SHADERS.loaded().branchGradients, "backward", {
    bind: { dy0: one.dy, dy1: second.dy, dy2: third.dy, b, h, dh, db },
    params: paramsOf(fused, sums, row_blocks),
    constants: constantsFor(one.dy, CONSTANTS.get(SG) ?? { SG }),
    grid: [row_blocks + Math.ceil(widest / (4 * SG)), Math.ceil(ranks / OWNED), layers.length],
  });
}

/** The same for a kernel of small blocks, and what binds dh. */
interface Shared extends Fused {
  dy: InTwo;
  before: InputSum | undefined;
}

/** What the kernel for GPUs needs, where it can compute these layers and no product of them had better be cut into slices. */
function shareWork(
  given: readonly BranchLayer[],
  { h }: BranchSums,
  before: InputSum | undefined,
): Shared | undefined {
  const { profile, bindingLimit } = h.device;
  const layers = withSinks(given);
  if (!profile.sharesWork || layers.length < given.length) return undefined;
  const isFit = layers.every(({ dy, B, first }) => {
    const [m, n, r] = [dy.rows, dy.columns, B.columns];
    const isEven = ((n | r | first | h.columns) & 3) === 0 && dy.byteLength <= bindingLimit;
    return isEven && isSmallWhole({ m, n: r, k: n }) && isSmallWhole({ m: n, n: r, k: m });
  });
  const dy = inTwoBuffers(
    layers.map((layer) => layer.dy),
    bindingLimit,
  );
  if (!isFit || !dy || !areAlike(layers)) return undefined;
  const isLike = before?.x.dtype === layers[0]?.dy.dtype;
  const taken = before && isLike && isTaken(before, bindingLimit) ? before : undefined;
  const all = taken && covered(layers, bindingLimit, [taken.dA]);
  if (all) return { layers, b: all.b, db: all.db, dy, before: taken };
  const own = covered(layers, bindingLimit);
  return own && { layers, b: own.b, db: own.db, dy, before: undefined };
}

function isTaken({ dh, x }: InputSum, bindingLimit: number): boolean {
  const isEven = ((x.columns | dh.columns) & 3) === 0 && x.byteLength <= bindingLimit;
  return isEven && isSmallWhole({ m: dh.columns, n: x.columns, k: x.rows });
}

/** Rows of a block of the kernel for GPUs. */
const BLOCK_ROWS = 32;

function launchSmall(shared: Shared, sums: BranchSums): void {
  const { layers, b, db, dy, before } = shared;
  const { h, dh } = sums;
  const [one] = layers as [Sunk];
  const row_blocks = Math.ceil(h.rows / BLOCK_ROWS);
  const ranks = Math.max(largest(layers.map(({ B }) => B.columns)), before?.dh.columns ?? 0);
  const widest = row_blocks + Math.ceil(largest(layers.map(({ dy }) => dy.columns)) / BLOCK_ROWS);
  const COLS = smallSide(ranks);
  dh.device.run(small, "backward", {
    bind: {
      dy0: dy.regions[0],
      dy1: dy.regions[1],
      b,
      h,
      x: before?.x ?? h,
      dh_before: before?.dh ?? h,
      dh,
      db,
    },
    params: paramsOf(shared, sums, row_blocks, shared),
    constants: constantsFor(one.dy, SMALL_CONSTANTS[COLS]),
    grid: [
      Math.max(widest, Math.ceil((before?.x.columns ?? 0) / BLOCK_ROWS)),
      Math.ceil(ranks / COLS),
      layers.length + (before ? 1 : 0),
    ],
  });
}

/** By columns of a block. */
const SMALL_CONSTANTS = {
  8: Object.freeze({ COLS: 8 }),
  16: Object.freeze({ COLS: 16 }),
  32: Object.freeze({ COLS: 32 }),
};
