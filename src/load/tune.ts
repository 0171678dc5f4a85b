import { type TunedAttention, tuneAttention } from "../kernels/attention-tune.ts";
import type { Decoding } from "../kernels/formats.ts";
import { type Product, type TunedProduct, tuneMatmul } from "../kernels/matmul-tune.ts";
import { weightDecoding } from "../kernels/weight.ts";
import type { LanguageModel } from "../models/model.ts";
import { isLinear } from "../nn/linear.ts";
import { modules, requireModel } from "../nn/module.ts";
import { checkOptions, integer, type Rules } from "../util/options.ts";

/** Options of {@link tune}. */
export interface TuneOptions {
  /** Tokens in a micro-batch; 512 unless given. */
  tokens?: number;
}

const RULES: Rules<TuneOptions> = { tokens: integer({ min: 1 }) };

/** What was measured for a model. */
export interface Tuned {
  /** Products of the linear layers, one of each class. */
  products: TunedProduct[];
  /** Attention with and without matrix units; absent where the device has none that fit the heads. */
  attention?: TunedAttention;
}

/**
 * Measures which kernels are fastest for training a model on its device, and remembers it there and, where the device
 * has a store, for later processes; behind another driver they are not used, which `openDevice` tells. The same choices
 * give the same results bit for bit; other choices add in another order.
 */
export async function tune(model: LanguageModel, options: TuneOptions = {}): Promise<Tuned> {
  checkOptions("tune", options, RULES);
  requireModel("tune", model);
  const { tokens = 512 } = options;
  const { device, root, config } = model;
  const { numHeads: heads, numKvHeads: kvHeads = heads, headDim = config.hiddenSize / heads } = config;
  const weights = [...modules(root)].filter(isLinear).map(({ weight }) => weight);
  const products = weights.flatMap((weight) => productsOf(weight.shape, weightDecoding(weight), tokens));
  const tuned = await tuneMatmul(device, products);
  const attention = await tuneAttention(device, { tokens, heads, kvHeads, headDim });
  await device.choices.save();
  return { products: tuned, ...(attention && { attention }) };
}

/** Forward, gradient of the input and, where it can be trained, gradient of the weight of a linear layer. */
function productsOf([out = 0, inputs = 0]: readonly number[], decoding: Decoding, tokens: number): Product[] {
  const forward: Product = { layout: "NT", m: tokens, n: out, k: inputs, decoding };
  const backward: Product = { layout: "NN", m: tokens, n: inputs, k: out, decoding };
  if (decoding.format !== "f32") return [forward, backward];
  return [forward, backward, { layout: "TN", m: out, n: inputs, k: tokens, decoding }];
}
