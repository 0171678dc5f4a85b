import {
  type RopeOptions,
  type RopeScaling,
  ropeAmplitude,
  ropeFrequencies,
} from "../kernels/rope-frequencies.ts";
import type { Bounds } from "../util/options.ts";
import type { ConfigReader } from "./config-reader.ts";

/** What a family says about its rotary embedding where the config says nothing, and how it names things. */
export interface RopeDefaults {
  /** `rope_theta`. */
  theta?: number;
  /** `max_position_embeddings`. */
  maxPositions?: number;
  /** The scaling where the config describes none. */
  scaling?: RopeScaling;
  /** `partial_rotary_factor`; a family without one rotates whole heads and refuses the field. */
  partial?: number;
  /** Old names of kinds that this family uses for others. */
  aliases?: Readonly<Record<string, Kind>>;
  /** The family's own names for `rope_theta` and `partial_rotary_factor` outside `rope_parameters`. */
  names?: Readonly<{ theta: string; partial: string }>;
}

type Kind = RopeScaling["rope_type"];
const KINDS: readonly Kind[] = ["default", "linear", "dynamic", "yarn", "longrope", "llama3"];
const USUAL_NAMES = { theta: "rope_theta", partial: "partial_rotary_factor" };

const POSITIVE: Bounds = { above: 0 };
const SHARE: Bounds = { above: 0, max: 1 };

/** A field that may state a setting. */
type Place = readonly [reader: ConfigReader, name: string];

/**
 * `rope_theta`, `partial_rotary_factor` and `rope_scaling`, or transformers 5's `rope_parameters` that holds them all.
 * Both spellings of a setting may be there, as long as they agree.
 */
export function readRope(c: ConfigReader, headDim: number, defaults: RopeDefaults = {}): RopeOptions {
  return readSpellings(c, [c, "rope_parameters"], headDim, defaults);
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
  const both = c.object("rope_parameters");
  const full = readSpellings(c, [both, "full_attention"], headDim, { maxPositions, theta: thetas.full });
  const names = { ...USUAL_NAMES, theta: "rope_local_base_freq" };
  const ofSliding = { maxPositions, theta: thetas.sliding, names };
  const sliding = readParameters(c, both.object("sliding_attention"), headDim, ofSliding);
  both.refuseUnread();
  return { full, sliding };
}

/** Reads the object of transformers 5 and `rope_scaling`, which describe the same embedding where both are there. */
function readSpellings(
  c: ConfigReader,
  [reader, name]: Place,
  headDim: number,
  defaults: RopeDefaults,
): RopeOptions {
  const read = (parameters: ConfigReader) => readParameters(c, parameters, headDim, defaults);
  if (defaults.scaling && !c.isOn("rope_scaling") && !reader.isOn(name)) {
    const theta = c.number("rope_theta", defaults.theta, POSITIVE);
    return { headDim, rotaryDim: headDim, theta, scaling: defaults.scaling };
  }
  if (!c.isOn("rope_scaling")) return read(reader.object(name));
  const scaled = read(c.object("rope_scaling"));
  if (reader.isOn(name) && JSON.stringify(read(reader.object(name))) !== JSON.stringify(scaled)) {
    reader.differ(name, ...c.at("rope_scaling"));
  }
  return scaled;
}

/** The options out of an object that describes one rotary embedding, and of the fields outside it. */
function readParameters(
  c: ConfigReader,
  parameters: ConfigReader,
  headDim: number,
  defaults: RopeDefaults,
): RopeOptions {
  const { theta = 10_000, aliases = {}, maxPositions = 0, names = USUAL_NAMES } = defaults;
  const fraction = readPartial(c, parameters, defaults);
  const options = {
    headDim,
    rotaryDim: Math.floor(headDim * fraction),
    theta: numberAt([parameters, "rope_theta"], [c, names.theta], theta, POSITIVE),
  };
  const kindIn = (field: string) => {
    const given = parameters.choice(field, [...new Set([...KINDS, ...Object.keys(aliases)])], "default");
    return aliases[given] ?? (given as Kind);
  };
  const kind = kindIn(parameters.has("rope_type") ? "rope_type" : "type");
  if (parameters.has("type") && kindIn("type") !== kind)
    parameters.differ("type", ...parameters.at("rope_type"));
  const context = c.nonNegative("max_position_embeddings", maxPositions);
  const length = "original_max_position_embeddings";
  if (kind === "default") c.ignore(length);
  const scaling = readScaling(kind, parameters, context, () =>
    numberAt([c, length], [parameters, length], context, POSITIVE),
  );
  parameters.refuseUnread();
  const result = { ...options, scaling };
  checkAngles(c, parameters, result);
  return result;
}

/** Fields that are right one by one can still give no angles together. */
function checkAngles(
  c: ConfigReader,
  parameters: ConfigReader,
  options: RopeOptions & { rotaryDim: number; scaling: RopeScaling },
): void {
  const { headDim, rotaryDim, theta, scaling } = options;
  if (rotaryDim % 2 !== 0 || rotaryDim < 2) {
    c.refuse("head_dim", `${headDim} gives ${rotaryDim} rotated dimensions; an even number is needed`);
    return;
  }
  if (scaling.rope_type === "longrope" && !haveLength(parameters, scaling, rotaryDim / 2)) return;
  const angles = [0, 2 ** 31].flatMap((length) => [...ropeFrequencies(options, length)]); // short texts, and long ones
  if ([...angles, ropeAmplitude(options)].every(Number.isFinite)) return;
  c.reject(
    "rope_theta",
    `${theta} and the ${scaling.rope_type} scaling give angles that are NaN or infinite`,
  );
}

/** @param used the field that transformers 5.18 reads first; where both are there they must agree */
function numberAt(used: Place, other: Place, fallback: number, bounds: Bounds): number {
  const read = ([reader, name]: Place) => reader.number(name, fallback, bounds);
  const [reader, name] = used;
  if (!reader.has(name)) return read(other);
  const value = read(used);
  if (other[0].has(other[1]) && read(other) !== value) other[0].differ(other[1], ...reader.at(name));
  return value;
}

function readPartial(
  c: ConfigReader,
  parameters: ConfigReader,
  { partial, names = USUAL_NAMES }: RopeDefaults,
): number {
  if (partial !== undefined) {
    return numberAt([parameters, "partial_rotary_factor"], [c, names.partial], partial, SHARE);
  }
  c.only("partial_rotary_factor", [1]);
  parameters.only("partial_rotary_factor", [1]);
  return 1;
}

/**
 * @param context `max_position_embeddings`
 * @param trained reads `original_max_position_embeddings`
 */
function readScaling(
  kind: Kind,
  parameters: ConfigReader,
  context: number,
  trained: () => number,
): RopeScaling {
  switch (kind) {
    case "default":
      parameters.ignore("factor", "original_max_position_embeddings");
      return { rope_type: kind };
    case "linear":
      return { rope_type: kind, factor: parameters.positive("factor") };
    case "dynamic":
      return {
        rope_type: kind,
        factor: parameters.positive("factor"),
        max_position_embeddings: context,
      };
    case "llama3":
      return {
        rope_type: kind,
        factor: parameters.positive("factor"),
        low_freq_factor: parameters.positive("low_freq_factor"),
        high_freq_factor: parameters.positive("high_freq_factor"),
        original_max_position_embeddings: trained(),
      };
    case "yarn":
      return readYarn(parameters, trained(), context);
    case "longrope":
      return readLongRope(parameters, trained(), context);
  }
}

function readYarn(parameters: ConfigReader, trained: number, context: number): RopeScaling {
  const factor = parameters.positive("factor", context / trained);
  const [mscale, all] = [parameters.nonNegative("mscale", 0), parameters.nonNegative("mscale_all_dim", 0)];
  const amplitude = (weight: number) => (factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1);
  return {
    rope_type: "yarn",
    factor,
    beta_fast: parameters.positive("beta_fast", 32),
    beta_slow: parameters.positive("beta_slow", 1),
    truncate: parameters.boolean("truncate", true),
    attention_factor: parameters.positive(
      "attention_factor",
      mscale && all ? amplitude(mscale) / amplitude(all) : amplitude(1),
    ),
    original_max_position_embeddings: trained,
  };
}

function readLongRope(parameters: ConfigReader, trained: number, context: number): RopeScaling {
  const factor = parameters.positive("factor", context / trained);
  const amplitude = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(trained));
  return {
    rope_type: "longrope",
    short_factor: parameters.numbers("short_factor", POSITIVE) ?? [],
    long_factor: parameters.numbers("long_factor", POSITIVE) ?? [],
    attention_factor: parameters.positive("attention_factor", amplitude),
    original_max_position_embeddings: trained,
  };
}

function haveLength(
  parameters: ConfigReader,
  scaling: Extract<RopeScaling, { rope_type: "longrope" }>,
  pairs: number,
): boolean {
  const wrong = (["short_factor", "long_factor"] as const).filter((name) => scaling[name].length !== pairs);
  for (const name of wrong) {
    parameters.refuse(name, `has ${scaling[name].length} entries for ${pairs} pairs of a head`);
  }
  return wrong.length === 0;
}

/** Positions that a model has: some kinds of scaling stretch the context beyond what the config states. */
export function stretchedPositions(maxPositions: number, { scaling }: RopeOptions): number {
  if (scaling?.rope_type === "dynamic") return Math.floor(maxPositions * scaling.factor);
  if (scaling?.rope_type === "yarn") {
    return Math.max(maxPositions, Math.floor(scaling.original_max_position_embeddings * scaling.factor));
  }
  return maxPositions;
}
