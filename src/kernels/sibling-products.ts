import shader from "../../shaders/sibling-products.wgsl";
import type { Device } from "../gpu/device.ts";
import type { Region } from "../gpu/kernel.ts";
import { empty, type Tensor } from "../gpu/tensor.ts";
import type { Specialization } from "../gpu/wgsl.ts";
import { FORMATS } from "./formats.ts";
import { DISPATCH_TIME } from "./matmul-slices.ts";
import { cutOf, fastestTile } from "./matmul-tile.ts";
import { coverOf, emptyPair, inTwoBuffers, placeIn } from "./regions.ts";
import type { Weight } from "./weight.ts";

/** A layer of several that have one input. */
export interface SiblingLayer {
  /** `[n, inputs]`, of 16 or 32 bits */
  readonly weight: Weight;
  /** `[n, r]` f32, of the layer's branch */
  readonly B?: Tensor | undefined;
  /** Its r columns among those of h begin here. */
  readonly first: number;
}

/**
 * y = x Wᵀ + h Bᵀ of each layer in one dispatch, of two or three; queries and keys, the first two of three, share a buffer, for a
 * shader has few bindings.
 * @param x `[..., inputs]`
 * @param h `[..., Σ r]`: x Aᵀ, scaled
 * @param share of the time of products of their own that this may take at most
 * @returns `[..., n]` each; undefined where the kernel does not fit, or products of their own are expected to be faster
 */
export function siblingProducts(
  x: Tensor,
  layers: readonly SiblingLayer[],
  h?: Tensor,
  share = 1,
): Tensor[] | undefined {
  const { device } = x;
  if (!device.profile.sharesWork) return undefined;
  const weights = layers.map(({ weight }) => weight);
  const [rows, inputs] = [x.rows, x.columns];
  const alone = weights.map(({ rows: n }) => ({ m: rows, n, k: inputs }));
  const joint = { m: rows, n: sum(weights.map(({ rows: n }) => n)), k: inputs };
  if (!fits(x, weights) || !fitsBranches(layers, h) || !pays(device, joint, alone, share)) return undefined;
  const Bs = layers.map(({ B }) => B).filter((B) => B !== undefined);
  const e = Bs.length > 0 ? coverOf(Bs, device.bindingLimit) : x;
  if (!e) return undefined;
  const shapes = weights.map(({ rows: n }) => [...x.shape.slice(0, -1), n]);
  const ys =
    shapes.length === 3
      ? [...emptyPair(x, shapes[0] ?? [], shapes[1] ?? []), empty(device, shapes[2] ?? [])]
      : shapes.map((shape) => empty(device, shape));
  const outputs = inTwoBuffers(ys, device.bindingLimit);
  if (!outputs) return undefined;
  const { w0, w1, w2 } = wordsOf(weights);
  const blocks = sum(weights.map(({ rows: n }) => Math.ceil(n / SIDE)));
  device.run(shader, "forward", {
    bind: { in0: x, w0, w1, w2, h: h ?? x, e, out0: outputs.regions[0], out1: outputs.regions[1] },
    params: params({ rows, inputs, h, weights, places: outputs.places, layers, e, inner: 0 }),
    constants: constantsOf(weights[0] as Weight, false),
    grid: [blocks, Math.ceil(rows / SIDE)],
  });
  return ys;
}

/**
 * dx = Σ dy W + dh A in one dispatch, of two or three layers whose dy lie in two buffers.
 * @param branch dh `[..., r]` and A `[r, inputs]`
 * @param into is added to and returned, instead of a new tensor
 * @returns `[..., inputs]`; undefined where the kernel does not fit, or products of their own are expected to be faster
 */
export function siblingInputGradient(
  layers: readonly { readonly dy: Tensor; readonly weight: Weight }[],
  branch?: { readonly dh: Tensor; readonly A: Tensor },
  into?: Tensor,
): Tensor | undefined {
  const weights = layers.map(({ weight }) => weight);
  const dys = layers.map(({ dy }) => dy);
  const [first] = dys as [Tensor];
  const { device, rows } = first;
  const inputs = weights[0]?.columns ?? 0;
  const alone = weights.map(({ rows: k }) => ({ m: rows, n: inputs, k }));
  const joint = { m: rows, n: inputs, k: sum(weights.map(({ rows: k }) => k)) };
  const isEven = !branch || branch.dh.columns % 4 === 0;
  if (!fits(first, weights) || !isEven || !pays(device, joint, alone)) return undefined;
  const given = inTwoBuffers(dys, device.bindingLimit);
  if (!given) return undefined;
  const { w0, w1, w2 } = wordsOf(weights);
  const dx = into ?? empty(device, [...first.shape.slice(0, -1), inputs]);
  device.run(shader, "backward", {
    bind: {
      in0: given.regions[0],
      in1: given.regions[1],
      w0,
      w1,
      w2,
      h: branch?.dh ?? first,
      e: branch?.A ?? first,
      out0: dx,
    },
    params: params({
      rows,
      inputs,
      h: branch?.dh,
      weights,
      places: given.places,
      layers: [],
      e: first,
      inner: branch?.dh.columns ?? 0,
    }),
    constants: constantsOf(weights[0] as Weight, into !== undefined),
    grid: [Math.ceil(inputs / SIDE), Math.ceil(rows / SIDE)],
  });
  return dx;
}

/** Rows and columns of a block of the kernel. */
const SIDE = 32;
/** Layers of one dispatch. */
const MOST = 3;

function fits({ device, rows, dtype, byteLength }: Tensor, weights: readonly Weight[]): boolean {
  const [first] = weights;
  if (!device.profile.sharesWork || !first || weights.length < 2 || weights.length > MOST) return false;
  const isAlike = weights.every(
    ({ format, rows: n, columns, scales, byteLength: bytes }) =>
      format === first.format &&
      columns === first.columns &&
      scales === undefined &&
      n % 4 === 0 &&
      bytes <= device.bindingLimit,
  );
  const isDense = first.format === "f32" || first.format === "bf16" || first.format === "f16";
  const isWhole = byteLength <= device.bindingLimit && rows > 0;
  return isAlike && isDense && isWhole && first.columns % 4 === 0 && dtype === "f32";
}

function fitsBranches(layers: readonly SiblingLayer[], h: Tensor | undefined): boolean {
  if (!h) return layers.every(({ B }) => !B);
  return h.columns % 4 === 0 && layers.every(({ B, first }) => ((first | (B?.columns ?? 0)) & 3) === 0);
}

interface Sizes {
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

/** Whether one dispatch of small blocks is expected to take less time than products of their own, each by its best kernel. */
function pays({ choices, info }: Device, joint: Sizes, alone: readonly Sizes[], share = 1): boolean {
  // What was measured are products by themselves, and these are what matrix units compute.
  if (choices.size > 0 || info.matrixUnits) return false;
  const { slices, time } = cutOf("small", joint);
  const apart = sum(alone.map((sizes) => cutOf(fastestTile(sizes), sizes).time));
  return slices === 1 && time < share * (apart + (alone.length - 1) * DISPATCH_TIME);
}

const sum = (values: readonly number[]) => values.reduce((all, value) => all + value, 0);

function wordsOf(weights: readonly Weight[]): { w0: Tensor; w1: Tensor; w2: Tensor } {
  const [first, second, third = second] = weights as [Weight, Weight, Weight?];
  return { w0: first.words, w1: second.words, w2: third.words };
}

interface ParamsOf {
  readonly rows: number;
  readonly inputs: number;
  readonly h: Tensor | undefined;
  readonly weights: readonly Weight[];
  readonly places: readonly { readonly buffer: number; readonly at: number }[];
  readonly layers: readonly SiblingLayer[];
  /** What the layers' B lie in. */
  readonly e: Region;
  /** Of the branch's sum in the backward pass. */
  readonly inner: number;
}

/** Written out: spreading parts into one takes longer than recording a dispatch. */
function params({ rows, inputs, h, weights, places, layers, e, inner }: ParamsOf) {
  const [w0, w1, w2] = weights;
  const [place0, place1, place2] = places;
  const [layer0, layer1, layer2] = layers;
  return {
    rows,
    inputs,
    ldh: h?.columns ?? 0,
    layers: weights.length,
    n0: w0?.rows ?? 0,
    n1: w1?.rows ?? 0,
    n2: w2?.rows ?? 0,
    at0: place0?.at ?? 0,
    at1: place1?.at ?? 0,
    at2: place2?.at ?? 0,
    buffer0: place0?.buffer ?? 0,
    buffer1: place1?.buffer ?? 0,
    buffer2: place2?.buffer ?? 0,
    r0: layer0?.B?.columns ?? 0,
    r1: layer1?.B?.columns ?? 0,
    r2: layer2?.B?.columns ?? 0,
    first0: layer0?.first ?? 0,
    first1: layer1?.first ?? 0,
    first2: layer2?.first ?? 0,
    b0: placeOf(layer0, e),
    b1: placeOf(layer1, e),
    b2: placeOf(layer2, e),
    inner,
  };
}

const placeOf = (layer: SiblingLayer | undefined, e: Region) => (layer?.B ? placeIn(e, layer.B) : 0);

/** Frozen: the pipeline cache recognises a frozen object by identity. */
const CONSTANTS = new Map<string, Specialization>();

function constantsOf({ format }: Weight, ACCUMULATE: boolean): Specialization {
  const key = ACCUMULATE ? `${format}+` : format;
  const known = CONSTANTS.get(key);
  if (known) return known;
  const { code } = FORMATS[format as "f32"];
  const made = Object.freeze({ FORMAT: code, ACCUMULATE });
  CONSTANTS.set(key, made);
  return made;
}
