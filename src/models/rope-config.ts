import type { RopeOptions, RopeScaling } from "../kernels/rope-frequencies.ts";
import type { ConfigReader } from "./config-reader.ts";

/** What a family says about its rotary embedding where the config says nothing. */
export interface RopeDefaults {
  /** `rope_theta`. */
  theta?: number;
  /** `max_position_embeddings`. */
  maxPositions?: number;
  /** `partial_rotary_factor`; a family without one rotates whole heads and refuses the field. */
  partial?: number;
  /** Old names of kinds that this family uses for others. */
  aliases?: Readonly<Record<string, Kind>>;
}

type Kind = RopeScaling["rope_type"];
const KINDS: readonly Kind[] = ["default", "linear", "dynamic", "yarn", "longrope", "llama3"];

/**
 * `rope_theta`, `partial_rotary_factor` and `rope_scaling`, or transformers 5's `rope_parameters` that holds them all.
 */
export function readRope(c: ConfigReader, headDim: number, defaults: RopeDefaults = {}): RopeOptions {
  const parameters = c.object(c.has("rope_parameters") ? "rope_parameters" : "rope_scaling");
  c.agree("rope_parameters", "rope_scaling");
  const theta = c.number("rope_theta", defaults.theta ?? 10_000);
  return readRopeParameters(c, parameters, headDim, { ...defaults, theta });
}

/** The same out of an object that describes one rotary embedding of several. */
function readRopeParameters(
  c: ConfigReader,
  parameters: ConfigReader,
  headDim: number,
  { theta = 10_000, partial, aliases = {}, maxPositions = 0 }: RopeDefaults,
): RopeOptions {
  const fraction = readPartial(c, parameters, partial);
  const options = {
    headDim,
    rotaryDim: Math.floor(headDim * fraction),
    theta: parameters.number("rope_theta", theta),
  };
  const key = parameters.has("rope_type") ? "rope_type" : "type";
  parameters.ignore("type");
  const given = parameters.choice(key, [...new Set([...KINDS, ...Object.keys(aliases)])], "default");
  const context = c.number("max_position_embeddings", maxPositions);
  const scaling = readScaling(aliases[given] ?? (given as Kind), parameters, c, context);
  if (options.rotaryDim % 2 !== 0 || options.rotaryDim < 2) {
    c.refuse(
      "head_dim",
      `${headDim} gives ${options.rotaryDim} rotated dimensions; an even number is needed`,
    );
  }
  if (scaling.rope_type === "longrope") checkFactors(parameters, scaling, options.rotaryDim / 2);
  parameters.refuseUnread();
  return { ...options, scaling };
}

/**
 * The embeddings of layers that see everything and of layers that slide, where they differ: two objects in
 * `rope_parameters`, or before transformers 5 `rope_local_base_freq` beside the usual fields, which are the former's.
 */
export function readLayerRopes(
  c: ConfigReader,
  headDim: number,
  { maxPositions, thetas }: { maxPositions: number; thetas: { full: number; sliding: number } },
): { full: RopeOptions; sliding: RopeOptions } {
  if (!c.has("rope_parameters")) {
    const full = readRope(c, headDim, { maxPositions, theta: thetas.full });
    const theta = c.number("rope_local_base_freq", thetas.sliding);
    return { full, sliding: { ...full, theta, scaling: { rope_type: "default" } } };
  }
  const both = c.object("rope_parameters");
  c.agree("rope_parameters", "rope_scaling");
  const read = (name: string, theta: number) =>
    readRopeParameters(c, both.object(name), headDim, { maxPositions, theta });
  const full = read("full_attention", thetas.full);
  const sliding = read("sliding_attention", thetas.sliding);
  both.refuseUnread();
  return { full, sliding };
}

function readPartial(c: ConfigReader, parameters: ConfigReader, partial: number | undefined): number {
  if (partial !== undefined) {
    return parameters.number("partial_rotary_factor", c.number("partial_rotary_factor", partial));
  }
  c.only("partial_rotary_factor", [1]);
  parameters.only("partial_rotary_factor", [1]);
  return 1;
}

/** @param context `max_position_embeddings` */
function readScaling(kind: Kind, parameters: ConfigReader, c: ConfigReader, context: number): RopeScaling {
  const trained = () => {
    const own = parameters.number("original_max_position_embeddings", context);
    return c.number("original_max_position_embeddings", own);
  };
  switch (kind) {
    case "default":
      parameters.ignore("factor", "original_max_position_embeddings");
      return { rope_type: kind };
    case "linear":
      return { rope_type: kind, factor: parameters.number("factor") };
    case "dynamic":
      return {
        rope_type: kind,
        factor: parameters.number("factor"),
        max_position_embeddings: context,
      };
    case "llama3":
      return {
        rope_type: kind,
        factor: parameters.number("factor"),
        low_freq_factor: parameters.number("low_freq_factor"),
        high_freq_factor: parameters.number("high_freq_factor"),
        original_max_position_embeddings: trained(),
      };
    case "yarn":
      return readYarn(parameters, trained(), context);
    case "longrope":
      return readLongRope(parameters, trained(), context);
  }
}

function readYarn(parameters: ConfigReader, trained: number, context: number): RopeScaling {
  const factor = parameters.number("factor", context / trained);
  const [mscale, all] = [parameters.number("mscale", 0), parameters.number("mscale_all_dim", 0)];
  const amplitude = (weight: number) => (factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1);
  return {
    rope_type: "yarn",
    factor,
    beta_fast: parameters.number("beta_fast", 32),
    beta_slow: parameters.number("beta_slow", 1),
    truncate: parameters.boolean("truncate", true),
    attention_factor: parameters.number(
      "attention_factor",
      mscale && all ? amplitude(mscale) / amplitude(all) : amplitude(1),
    ),
    original_max_position_embeddings: trained,
  };
}

function readLongRope(parameters: ConfigReader, trained: number, context: number): RopeScaling {
  const factor = parameters.number("factor", context / trained);
  const amplitude = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(trained));
  return {
    rope_type: "longrope",
    short_factor: parameters.list("short_factor", "number") ?? [],
    long_factor: parameters.list("long_factor", "number") ?? [],
    attention_factor: parameters.number("attention_factor", amplitude),
    original_max_position_embeddings: trained,
  };
}

function checkFactors(
  parameters: ConfigReader,
  scaling: Extract<RopeScaling, { rope_type: "longrope" }>,
  pairs: number,
): void {
  for (const name of ["short_factor", "long_factor"] as const) {
    const { length } = scaling[name];
    if (length !== pairs) parameters.refuse(name, `has ${length} entries for ${pairs} pairs of a head`);
  }
}

/** Positions that a model has: some kinds of scaling stretch the context beyond what the config states. */
export function stretchedPositions(maxPositions: number, { scaling }: RopeOptions): number {
  if (scaling?.rope_type === "dynamic") return Math.floor(maxPositions * scaling.factor);
  if (scaling?.rope_type === "yarn") {
    return Math.max(maxPositions, Math.floor(scaling.original_max_position_embeddings * scaling.factor));
  }
  return maxPositions;
}
