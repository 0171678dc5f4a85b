import type { Device } from "../gpu/device.ts";
import type { MakeMixture } from "../nn/expert-layer.ts";
import type { Weights } from "../nn/weights.ts";
import { type DecoderConfig, decoderBody } from "./decoder.ts";
import type { Built } from "./family.ts";
import { pooledBy } from "./sentence-encoder.ts";

/**
 * A decoder without an output layer that gives texts a vector each: pooled as its own files say, mostly the last token's state,
 * which alone has seen all of a text. Its tensors lie at the top, as those of transformers' `AutoModel` do.
 */
export function buildDecoderEncoder(
  device: Device,
  weights: Weights,
  c: DecoderConfig,
  makeMixture?: MakeMixture,
): Built<"sentence-embedding"> {
  const { root, encode, release } = decoderBody(device, weights, c, makeMixture);
  return {
    task: "sentence-embedding",
    device,
    root,
    config: { ...c, numLayers: c.layers.length },
    release,
    ...pooledBy("mean", encode), // what sentence-transformers does with a model whose files don't say
  };
}
