import shader from "../../shaders/branch-gradients.wgsl";
import type { Device } from "../gpu/device.ts";
import type { Region } from "../gpu/kernel.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { matmul } from "./matmul.ts";

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
    if (fits(some, device)) launch(some as Layer[], sums);
    else for (const layer of some) multiply(layer, sums);
  }
}

function multiply({ dy, B, dB, first }: BranchLayer, { h, dh, scale }: BranchSums): void {
  const count = B.columns;
  if (dB) matmul(dy, { of: h, first, count }, { layout: "TN", into: dB });
  matmul(dy, B, { layout: "NN", alpha: scale, out: { of: dh, first, count } });
}

/** A layer of which the kernel computes both products. */
interface Layer extends BranchLayer {
  dB: Tensor;
}

/** Layers of one dispatch. */
const MOST = 3;
/** Columns of a branch that a subgroup owns; OWNED of the shader. */
const OWNED = 8;
/** With more columns products of their own are faster: they load dy for 32 columns at once. */
const FEW = 16;

/** Frozen, so that they are known again as they are. */
const CONSTANTS = new Map([4, 8, 16].map((SG) => [SG, Object.freeze({ SG })]));

function fits(layers: readonly BranchLayer[], { info, bindingLimit }: Device): boolean {
  const { software, subgroupSize } = info;
  if (!software || subgroupSize < 4 || subgroupSize > 64) return false;
  const isSmall = layers.every(
    ({ dy, B, dB }) => dB && dy.columns % 4 === 0 && B.columns <= FEW && dy.byteLength <= bindingLimit,
  );
  return (
    isSmall &&
    [coverOf(layers, "B"), coverOf(layers, "dB")].every(
      (region) => region && region.byteLength <= bindingLimit,
    )
  );
}

/** The bytes from the first of these tensors to the last, if they lie in one buffer. */
function coverOf(layers: readonly BranchLayer[], name: "B" | "dB"): Region | undefined {
  const tensors = layers.flatMap((layer) => layer[name] ?? []);
  const [first] = tensors;
  if (!first || tensors.some(({ storage }) => storage !== first.storage)) return undefined;
  const byteOffset = Math.min(...tensors.map((tensor) => tensor.byteOffset));
  const end = Math.max(...tensors.map((tensor) => tensor.byteOffset + tensor.byteLength));
  return { storage: first.storage, byteOffset, byteLength: end - byteOffset };
}

function launch(layers: readonly Layer[], { h, dh, scale }: BranchSums): void {
  const { device } = dh;
  const SG = device.info.subgroupSize;
  const [b, db] = [coverOf(layers, "B") as Region, coverOf(layers, "dB") as Region];
  const [first, second = first, third = first] = layers as [Layer, Layer?, Layer?];
  const row_blocks = Math.ceil(h.rows / (4 * SG));
  const place = (tensor: Tensor, region: Region) => (tensor.byteOffset - region.byteOffset) / 4;
  const widest = Math.max(...layers.map(({ dy }) => dy.columns));
  const ranks = Math.max(...layers.map(({ B }) => B.columns));
  device.run(shader, "backward", {
    bind: { dy0: first.dy, dy1: second.dy, dy2: third.dy, b, h, dh, db },
    params: {
      rows: h.rows,
      ldh: h.columns,
      row_blocks,
      n0: first.dy.columns,
      n1: second.dy.columns,
      n2: third.dy.columns,
      r0: first.B.columns,
      r1: second.B.columns,
      r2: third.B.columns,
      first0: first.first,
      first1: second.first,
      first2: third.first,
      b0: place(first.B, b),
      b1: place(second.B, b),
      b2: place(third.B, b),
      db0: place(first.dB, db),
      db1: place(second.dB, db),
      db2: place(third.dB, db),
      scale,
    },
    constants: CONSTANTS.get(SG) ?? { SG },
    grid: [row_blocks + Math.ceil(widest / (4 * SG)), Math.ceil(ranks / OWNED), layers.length],
  });
}
