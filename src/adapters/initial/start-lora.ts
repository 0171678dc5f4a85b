import { readAndRelease } from "../../gpu/tensor.ts";
import { castToFloat } from "../../kernels/cast.ts";
import { isLinear, type Linear } from "../../nn/linear.ts";
import { requireModel } from "../../nn/module.ts";
import { callback, checkOptions, integer, type Rules } from "../../util/options.ts";
import { createRandom, type Random } from "../../util/random.ts";
import type { Lora } from "../lora.ts";
import type { Adaptable } from "../method.ts";
import { type Factors, loraPlans, passesOf, sizesOf, takesFromWeight } from "./lora-start.ts";
import { olora, pissa, quickPissa } from "./principal.ts";

/** Options of {@link startLora}. */
export interface StartOptions {
  /** Of what is drawn; 0 unless given. */
  readonly seed?: number | undefined;
  /** Called before each layer. */
  readonly onProgress?: ((done: number, of: number) => void) | undefined;
}

const RULES: Rules<StartOptions> = { seed: integer({ min: 0 }), onProgress: callback() };

/**
 * LoRA whose beginning is computed from the weights of a model: what to attach where `initWeights` is `pissa`,
 * `pissa_niter_N` or `olora`. The weights are read and decomposed on the host, layer by layer. Of other starts it is the
 * method as it was.
 * @throws LoraError where a layer's rank is larger than its smaller side, and as the method does
 */
export async function startLora(model: Adaptable, method: Lora, options: StartOptions = {}): Promise<Lora> {
  checkOptions("startLora", options, RULES);
  const { seed = 0, onProgress } = options;
  requireModel("startLora", model);
  const start = method.options.initWeights;
  if (!takesFromWeight(start)) return method;
  const random = createRandom(seed);
  const layers = method
    .branches(model)
    .filter(isLinear)
    .filter((layer) => method.roleOf(layer).does === "branch");
  const begun = new Map<string, Factors>();
  for (const [i, layer] of layers.entries()) {
    onProgress?.(i, layers.length);
    begun.set(layer.path, await beginning(layer, method, random.fork(layer.path)));
  }
  return {
    ...method,
    tensors(site) {
      const factors = begun.get(site.path);
      const own = method.tensors(site);
      return factors ? { ...own, ...loraPlans(start, sizesOf(site as Linear, method.rankOf), factors) } : own;
    },
  };
}

async function beginning(layer: Linear, method: Lora, random: Random): Promise<Factors> {
  const [buffer] = await readAndRelease(layer.weight.device, () => [castToFloat(layer.weight)]);
  const { inFeatures: cols, outFeatures: rows } = layer;
  const weight = { rows, cols, values: new Float32Array(buffer ?? []) };
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
