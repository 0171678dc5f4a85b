import type { Device } from "../gpu/device.ts";
import { lastTokens } from "../nn/chosen-tokens.ts";
import type { MakeMixture } from "../nn/expert-layer.ts";
import { linear } from "../nn/linear.ts";
import { call } from "../nn/module.ts";
import type { Weights } from "../nn/weights.ts";
import { type DecoderConfig, decoderBody } from "./decoder.ts";
import type { Built, BuiltModel } from "./family.ts";

/** A decoder, and the names of the classes. */
export interface DecoderClassifierConfig extends DecoderConfig {
  labels: readonly string[];
}

/** A decoder that classifies a text by its last token, the only one that has seen all of it. */
export function buildDecoderClassifier(
  device: Device,
  weights: Weights,
  c: DecoderClassifierConfig,
  makeMixture?: MakeMixture,
): BuiltModel {
  const body = decoderBody(device, weights.at("model"), c, makeMixture);
  const score = linear(weights.at("score"), c.hiddenSize, c.labels.length, { fresh: true });
  return {
    task: "sequence-classification",
    device,
    root: { ...body.root, children: [...body.root.children, score] },
    config: { ...c, numLayers: c.layers.length },
    labels: c.labels,
    logits: (ids, context) => call(score, lastTokens(body.encode(ids, context), context), context),
    release: body.release,
  };
}

/**
 * The same on top of any causal language model, whose output layer is left out: it is built as if it were tied, so
 * that no matrix is asked for.
 */
export function classifierOn<C extends { tied: boolean }>(
  build: (device: Device, weights: Weights, c: C) => Built<"causal-lm">,
): (device: Device, weights: Weights, c: C & { labels: readonly string[] }) => BuiltModel {
  return (device, weights, c) => {
    const body = build(device, weights, { ...c, tied: true });
    const parts = body.root.children.filter((child) => child !== body.head);
    const score = linear(weights.at("score"), body.config.hiddenSize, c.labels.length, { fresh: true });
    return {
      task: "sequence-classification",
      device,
      root: { ...body.root, children: [...parts, score] },
      config: body.config,
      labels: c.labels,
      logits: (ids, context) => call(score, lastTokens(body.hidden(ids, context), context), context),
      release: body.release,
    };
  };
}
