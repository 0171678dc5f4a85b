import shader from "../../shaders/branch-gradients.wgsl";
import type { Device } from "../gpu/device.ts";
import type { Region } from "../gpu/kernel.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { largest, smallest } from "../util/arrays.ts";
import { matmul } from "./matmul.ts";
import { hasOuterProducts } from "./matmul-shader.ts";

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

/**
 * Gradients of y = h Bᵀ of each layer, where h = scale · x Aᵀ: writes dh = scale · dy B, and adds dyᵀ h to dB.
 * Layers of one input take one dispatch on CPU rasterisers, two each elsewhere.
 */
export function branchGradients(layers: readonly BranchLayer[], sums: BranchSums): void {
  const { device } = sums.dh;
  for (let i = 0; i < layers.length; i += MOST) {
    const some = layers.slice(i, i + MOST);
    const fused = fuse(some, device);
    if (fused) launch(fused, sums);
    else for (const layer of some) multiply(layer, sums);
  }
}

function multiply({ dy, B, dB, first }: BranchLayer, { h, dh, scale }: BranchSums): void {
  const count = B.columns;
  if (dB) matmul(dy, { of: h, first, count }, { layout: "TN", into: dB });
  matmul(dy, B, { layout: "NN", alpha: scale, out: { of: dh, first, count } });
}

/** Layers of which the kernel computes both products, and the bindings that hold their B and their dB. */
interface Fused {
  layers: readonly (BranchLayer & { dB: Tensor })[];
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
  const layers = given.flatMap((layer) => (layer.dB ? [{ ...layer, dB: layer.dB }] : []));
  const isSmall = layers.every(
    ({ dy, B }) => dy.columns % 4 === 0 && B.columns <= FEW && dy.byteLength <= bindingLimit,
  );
  if (!isSmall || layers.length < given.length) return undefined;
  const b = coverOf(
    layers.map(({ B }) => B),
    bindingLimit,
  );
  const db = coverOf(
    layers.map(({ dB }) => dB),
    bindingLimit,
  );
  return b && db && { layers, b, db };
}

/** The bytes from the first of these tensors to the last, if they lie in one buffer and one binding can hold them. */
function coverOf(tensors: readonly Tensor[], bindingLimit: number): Region | undefined {
  const { storage } = tensors[0] as Tensor;
  const byteOffset = smallest(tensors.map((tensor) => tensor.byteOffset));
  const byteLength = largest(tensors.map((tensor) => tensor.byteOffset + tensor.byteLength)) - byteOffset;
  const isOne = tensors.every((tensor) => tensor.storage === storage);
  return isOne && byteLength <= bindingLimit ? { storage, byteOffset, byteLength } : undefined;
}

function launch({ layers, b, db }: Fused, { h, dh, scale }: BranchSums): void {
  const { device } = dh;
  const SG = device.info.subgroupSize;
  const [one] = layers as [(typeof layers)[number]];
  const [, second = one, third = one] = layers;
  const row_blocks = Math.ceil(h.rows / (4 * SG));
  const place = (tensor: Tensor, region: Region) => (tensor.byteOffset - region.byteOffset) / 4;
  const widest = largest(layers.map(({ dy }) => dy.columns));
  const ranks = largest(layers.map(({ B }) => B.columns));
  device.run(shader, "backward", {
    bind: { dy0: one.dy, dy1: second.dy, dy2: third.dy, b, h, dh, db },
    params: {
      rows: h.rows,
      ldh: h.columns,
      row_blocks,
      n0: one.dy.columns,
      n1: second.dy.columns,
      n2: third.dy.columns,
      r0: one.B.columns,
      r1: second.B.columns,
      r2: third.B.columns,
      first0: one.first,
      first1: second.first,
      first2: third.first,
      b0: place(one.B, b),
      b1: place(second.B, b),
      b2: place(third.B, b),
      db0: place(one.dB, db),
      db1: place(second.dB, db),
      db2: place(third.dB, db),
      scale,
    },
    constants: CONSTANTS.get(SG) ?? { SG },
    grid: [row_blocks + Math.ceil(widest / (4 * SG)), Math.ceil(ranks / OWNED), layers.length],
  });
}
