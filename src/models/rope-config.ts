import type { RopeOptions, RopeScaling } from "../kernels/rope-frequencies.ts";
import type { ConfigReader } from "./config-reader.ts";

/** Kinds of `rope_scaling` that are implemented. */
const KINDS = ["default", "linear", "llama3"] as const;

/** `rope_theta` and `rope_scaling`, or transformers 5's `rope_parameters` that holds both. */
export function readRope(config: ConfigReader, headDim: number): RopeOptions {
  const parameters = config.object(config.has("rope_parameters") ? "rope_parameters" : "rope_scaling");
  const theta = parameters.number("rope_theta", config.number("rope_theta", 10_000));
  const key = parameters.has("rope_type") ? "rope_type" : "type";
  const scaling = readScaling(parameters, parameters.choice(key, KINDS, "default"));
  parameters.ignore("type");
  parameters.refuseUnread();
  return { headDim, theta, scaling };
}

function readScaling(reader: ConfigReader, kind: (typeof KINDS)[number]): RopeScaling {
  switch (kind) {
    case "default":
      return { rope_type: kind };
    case "linear":
      return { rope_type: kind, factor: reader.number("factor") };
    case "llama3":
      return {
        rope_type: kind,
        factor: reader.number("factor"),
        low_freq_factor: reader.number("low_freq_factor"),
        high_freq_factor: reader.number("high_freq_factor"),
        original_max_position_embeddings: reader.number("original_max_position_embeddings"),
      };
  }
}
