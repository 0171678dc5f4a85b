import { requireModel } from "../../../nn/module.ts";
import { callback, checkOptions, integer, type Rules } from "../../../util/options.ts";
import type { Adaptable } from "../../method.ts";
import type { Lora } from "../lora.ts";
import type { StartOptions } from "./from-weights.ts";
import { readsWeights } from "./lora-start.ts";

const RULES: Rules<StartOptions> = {
  seed: integer({ min: 0 }),
  onProgress: callback(),
  original: callback(),
  inputs: callback(),
};

/**
 * LoRA whose beginning is computed from the weights of a model: what to attach, once, where `initWeights` is `pissa`,
 * `pissa_niter_N`, `olora`, `loftq` or `eva`. The weights, or what goes into the layers, are read and decomposed on the
 * host. Of other starts it is the method as it was.
 * @throws LoraError where a layer's rank is larger than its smaller side, LoftQ lacks the weights of a quantised model, and
 * as the method does
 */
export async function startLora(model: Adaptable, method: Lora, options: StartOptions = {}): Promise<Lora> {
  checkOptions("startLora", options, RULES);
  requireModel("startLora", model);
  if (!readsWeights(method.options.initWeights)) return method;
  const { fromWeights } = await import("./from-weights.ts"); // what decomposes matrices is loaded where it is needed
  return fromWeights(model, method, options);
}
