import { fromArray, readAndRelease, type Tensor } from "../../../gpu/tensor.ts";
import { castToFloat } from "../../../kernels/cast.ts";
import { requantised } from "../../../kernels/requantise.ts";
import type { QuantisedWeight, Weight } from "../../../kernels/weight.ts";
import { isLinear, type Linear } from "../../../nn/linear.ts";
import { fail } from "../../../util/fail.ts";
import type { Dense } from "../../../util/linalg/dense.ts";
import { createRandom, type Random } from "../../../util/random.ts";
import type { Adaptable, BaseTensors, OriginalWeight } from "../../method.ts";
import type { Lora } from "../lora.ts";
import { withRanks } from "../with-ranks.ts";
import { eva, type LayerInputs } from "./eva.ts";
import { loftq, loftqRounding } from "./loftq.ts";
import { type Factors, loraPlans, passesOf, sizesOf } from "./lora-start.ts";
import { olora, pissa, quickPissa } from "./principal.ts";

/** Options of `startLora`. */
export interface StartOptions {
  /** Of what is drawn; 0 unless given. */
  readonly seed?: number | undefined;
  /** Called before each layer. */
  readonly onProgress?: ((done: number, of: number) => void) | undefined;
  /** For LoftQ of a quantised model, as `originalWeights` gives it. */
  readonly original?: OriginalWeight | undefined;
  /** For EVA, as `layerInputs` gives them. */
  readonly inputs?: LayerInputs | undefined;
}

/** The method with its beginning, where that is computed from the weights or from what goes into the layers. */
export async function fromWeights(model: Adaptable, method: Lora, options: StartOptions): Promise<Lora> {
  const { seed = 0, onProgress, original } = options;
  const start = method.options.initWeights;
  const random = createRandom(seed);
  const branches = method.branches(model).filter(isLinear);
  const layers = branches.filter((layer) => method.roleOf(layer).does === "branch");
  if (start === "eva") return startEva(layers, method, options.inputs, random);
  const begun = new Map<string, Factors>();
  const bases = new Map<Linear, Readonly<Record<string, Weight>>>();
  for (const [i, layer] of layers.entries()) {
    onProgress?.(i, layers.length);
    const own = random.fork(layer.path);
    if (start === "loftq") {
      const { factors, base } = await beginLoftq(layer, method, own, original);
      begun.set(layer.path, factors);
      if (base) bases.set(layer, { weight: base });
    } else begun.set(layer.path, beginning(layer, await denseWeight(layer), method, own));
  }
  // On the quantised base as it is, what LoftQ begins with is LoRA like any other.
  const { init, ...rest } = method;
  const isPlain = start === "loftq" && bases.size === 0;
  return {
    ...rest,
    ...(init !== undefined && !isPlain && { init }),
    ...(bases.size > 0 && { bases: keptBases(bases) }),
    tensors(site) {
      const factors = begun.get(site.path);
      const own = method.tensors(site);
      return factors ? { ...own, ...loraPlans(start, sizesOf(site as Linear, method.rankOf), factors) } : own;
    },
  };
}

/** The method with the ranks and the beginning that EVA finds; layers without a rank are left out. */
async function startEva(
  layers: readonly Linear[],
  method: Lora,
  inputs: LayerInputs | undefined,
  random: Random,
): Promise<Lora> {
  if (!inputs)
    return fail("startLora", "eva begins from the layers' inputs", "give inputs: layerInputs(model, texts)");
  const { evaRho: rho, evaTau: tau, evaWhiten: whiten } = method.options;
  const found = await eva(layers, ({ path }) => method.rankOf(path).r, inputs, { rho, tau, whiten }, random);
  const kept = [...found].filter(([, { rank }]) => rank > 0);
  const begun = new Map(kept.map(([{ path }, { A }]) => [path, A]));
  const chosen = withRanks(method, new Map(kept.map(([{ path }, { rank }]) => [path, rank])));
  return {
    ...chosen,
    tensors(site) {
      const A = begun.get(site.path);
      const own = chosen.tensors(site);
      if (!A) return own;
      const factors = { A, B: new Float32Array(0) }; // which begins as zeros
      return { ...own, ...loraPlans("eva", sizesOf(site as Linear, chosen.rankOf), factors) };
    },
  };
}

/** A layer's weight on the host, in f32. */
export async function denseWeight(layer: Linear): Promise<Dense> {
  return dense(layer, await valuesOf(layer.weight));
}

/** What a start that takes from the weight makes of a layer. */
export function beginning(layer: Linear, weight: Dense, method: Lora, random: Random): Factors {
  const start = method.options.initWeights;
  const [{ r }, scale, passes] = [method.rankOf(layer.path), method.scaleOf(layer.path), passesOf(start)];
  const { A, B } =
    passes !== undefined
      ? quickPissa(weight, r, scale, passes, random)
      : start === "olora"
        ? olora(weight, r, scale)
        : pissa(weight, r, scale, random);
  return { A, B };
}

/**
 * LoftQ of one layer. A weight that is not quantised is rounded and kept as f32, as PEFT does. Of a quantised one, the
 * first round is the model's own; what further rounds give lies beside it, in the same format.
 * @returns also what takes the weight's place; undefined where it stays
 */
async function beginLoftq(
  layer: Linear,
  method: Lora,
  random: Random,
  original: OriginalWeight | undefined,
): Promise<{ factors: Factors; base: Weight | undefined }> {
  const { weight } = layer;
  const { loftqBits: bits, loftqIterations: iterations } = method.options;
  const isQuantised = weight.scales !== undefined;
  if (isQuantised && !original) {
    const got = `loftq needs ${layer.path} as it was before it was quantised`;
    return fail("startLora", got, "give original: originalWeights(model)");
  }
  const whole = dense(layer, isQuantised ? await original!(layer) : await valuesOf(weight));
  const [{ r }, scale] = [method.rankOf(layer.path), method.scaleOf(layer.path)];
  if (!isQuantised) {
    const round = loftqRounding({ bits, iterations }, layer.inFeatures);
    const { base, ...factors } = await loftq(whole, r, scale, { iterations, round }, random);
    const { device } = weight;
    return { factors, base: device.memory.persistent(() => fromArray(device, base, weight.shape)) };
  }
  let kept: QuantisedWeight | undefined;
  let isFirst = true;
  const round = async (values: Float32Array) => {
    if (!isFirst) {
      if (kept) release(kept);
      kept = await requantised(weight as QuantisedWeight, values);
    }
    isFirst = false;
    return valuesOf(kept ?? weight);
  };
  const { base: _, ...factors } = await loftq(whole, r, scale, { iterations, round }, random);
  return { factors, base: kept };
}

function dense({ inFeatures: cols, outFeatures: rows }: Linear, values: Float32Array): Dense {
  return { rows, cols, values };
}

async function valuesOf(weight: Weight): Promise<Float32Array> {
  const [buffer] = await readAndRelease(weight.device, () => [castToFloat(weight)]);
  return new Float32Array(buffer ?? []);
}

function release({ words, scales, zeros, device }: Weight): void {
  const parts = [words, scales, zeros].filter((part): part is Tensor => part !== undefined);
  for (const { storage } of parts) device.memory.release(storage);
}

/** Freed with the last adapter that computes with them. */
function keptBases(tensors: ReadonlyMap<Linear, Readonly<Record<string, Weight>>>): BaseTensors {
  let users = 0;
  return {
    tensors,
    use: () => void users++,
    release() {
      users--;
      if (users === 0) for (const named of tensors.values()) Object.values(named).forEach(release);
    },
  };
}
