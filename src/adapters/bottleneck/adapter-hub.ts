import { isObject, type JsonObject } from "../../util/json.ts";
import type { FileLayout } from "../codec.ts";
import {
  commonFields,
  type FieldTable,
  FLAG,
  type Kind,
  LIST_OR_NULL,
  oneText,
  orNull,
  type PeftConfig,
  PROBABILITY,
  TEXT,
  TEXT_OR_NULL,
} from "../config-fields.ts";
import { ADAPTER_HUB_FILES } from "./adapter-hub-files.ts";
import { isReduction, NON_LINEARITIES } from "./bottleneck-options.ts";

// AdapterHub's files (adapters 1.2, loading.py): adapter_config.json with the adapter's own fields in `config`,
// adapter.safetensors, and for a trained head head_config.json with model_head.safetensors.

/** What AdapterHub's `BnConfig` has, under its names. */
export interface BnConfig {
  adapter_residual_before_ln: boolean;
  cross_adapter: boolean;
  dropout: number;
  factorized_phm_W: boolean | null;
  factorized_phm_rule: boolean | null;
  hypercomplex_nonlinearity: string | null;
  init_weights: string;
  inv_adapter: string | null;
  inv_adapter_reduction_factor: number | null;
  is_parallel: boolean;
  learn_phm: boolean | null;
  leave_out: readonly number[];
  ln_after: boolean;
  ln_before: boolean;
  mh_adapter: boolean | null;
  non_linearity: string | null;
  original_ln_after: boolean;
  original_ln_before: boolean;
  output_adapter: boolean | null;
  phm_bias: boolean | null;
  phm_c_init: string | null;
  phm_dim: number;
  phm_init_range: number | null;
  phm_layer: boolean;
  phm_rank: number | null;
  reduction_factor: number | Readonly<Record<string, number>> | null;
  residual_before_ln: boolean | "post_add";
  scaling: number | "learned" | "channel";
  shared_W_phm: boolean | null;
  shared_phm_rule: boolean | null;
  stochastic_depth: number | null;
  use_gating: boolean;
}

/** What stands beside it, and fields that every method has here. */
export interface AdapterHubConfig extends BnConfig, PeftConfig {
  /** Another method of AdapterHub's; null for bottleneck adapters. */
  architecture: string | null;
  hidden_size: number | null;
  model_class: string | null;
  model_type: string | null;
  /** The adapter's, which stands in the names of its tensors. */
  name: string;
  version: string | null;
  /** Names of a head's classes, in order: written beside it, and never read. */
  labels: readonly string[] | null;
}

const SIZE: Kind = { wants: "a whole number", accepts: Number.isSafeInteger };
const ANY_NUMBER: Kind = { wants: "a number", accepts: (value) => typeof value === "number" };
const LAYERS: Kind = {
  wants: "a list of whole numbers",
  accepts: (value) =>
    Array.isArray(value) && value.every((layer) => Number.isSafeInteger(layer) && layer >= 0),
};
const either = (a: Kind, b: Kind): Kind => ({
  wants: `${a.wants}, or ${b.wants}`,
  accepts: (value) => a.accepts(value) || b.accepts(value),
});

/** The fields of `config` and AdapterHub's own values; null where it has none: see {@link missingFields}. */
const BN_FIELDS: FieldTable<BnConfig> = {
  adapter_residual_before_ln: [false, FLAG],
  cross_adapter: [false, FLAG],
  dropout: [0, PROBABILITY],
  factorized_phm_W: [true, orNull(FLAG)],
  factorized_phm_rule: [false, orNull(FLAG)],
  hypercomplex_nonlinearity: ["glorot-uniform", TEXT_OR_NULL],
  init_weights: ["bert", oneText(["bert", "mam_adapter", "houlsby"])],
  inv_adapter: [null, TEXT_OR_NULL],
  inv_adapter_reduction_factor: [null, orNull(ANY_NUMBER)],
  is_parallel: [false, FLAG],
  learn_phm: [true, orNull(FLAG)],
  leave_out: [[], LAYERS],
  ln_after: [false, FLAG],
  ln_before: [false, FLAG],
  mh_adapter: [null, orNull(FLAG)],
  non_linearity: [null, orNull(oneText(NON_LINEARITIES))],
  original_ln_after: [true, FLAG],
  original_ln_before: [false, FLAG],
  output_adapter: [null, orNull(FLAG)],
  phm_bias: [true, orNull(FLAG)],
  phm_c_init: ["normal", TEXT_OR_NULL],
  phm_dim: [4, SIZE],
  phm_init_range: [1e-4, orNull(ANY_NUMBER)],
  phm_layer: [false, FLAG],
  phm_rank: [1, orNull(SIZE)],
  reduction_factor: [
    null,
    orNull({ wants: "a number above 0, or such numbers by layers", accepts: isReduction }),
  ],
  residual_before_ln: [true, either(FLAG, oneText(["post_add"]))],
  scaling: [1, either(ANY_NUMBER, oneText(["learned", "channel"]))],
  shared_W_phm: [false, orNull(FLAG)],
  shared_phm_rule: [true, orNull(FLAG)],
  stochastic_depth: [0, orNull(ANY_NUMBER)],
  use_gating: [false, FLAG],
};

/** All fields. */
export const ADAPTER_HUB_FIELDS: FieldTable<AdapterHubConfig> = {
  ...(commonFields("BOTTLENECK") as FieldTable<PeftConfig>),
  ...BN_FIELDS,
  architecture: [null, TEXT_OR_NULL],
  hidden_size: [null, orNull(SIZE)],
  model_class: [null, TEXT_OR_NULL],
  model_type: [null, TEXT_OR_NULL],
  name: ["default", TEXT],
  version: ["adapters.1.2.0", TEXT_OR_NULL],
  labels: [null, LIST_OR_NULL],
};

/** What a configuration of bottleneck adapters has to say; one of another method of AdapterHub's has other fields. */
export function missingFields(config: AdapterHubConfig): string[] {
  if (!isBottleneck(config)) return [];
  const required = ["mh_adapter", "output_adapter", "reduction_factor", "non_linearity"] as const;
  return required.filter((name) => config[name] === null).map((name) => `${name} is missing`);
}

/** Whether a configuration is one of bottleneck adapters. */
export function isBottleneck({ architecture }: AdapterHubConfig): boolean {
  return architecture === null || architecture === "bottleneck";
}

/** Fields that Python holds as floats. */
export const ADAPTER_HUB_FLOATS = ["dropout", "phm_init_range", "scaling", "stochastic_depth"];

/** Before the files named a version, these names meant others. */
const OLD_ACTIVATIONS: JsonObject = { gelu: "gelu_new", gelu_orig: "gelu" };

export const ADAPTER_HUB: FileLayout<AdapterHubConfig> = {
  ...ADAPTER_HUB_FILES,
  fields(json) {
    if (json.peft_type !== undefined || !isObject(json.config)) return undefined;
    const { config, model_name = null, hidden_size = null, model_class = null, model_type = null } = json;
    const { name = "default", version = null, revision = null } = json;
    const isOld = version === null && typeof config.non_linearity === "string";
    const renamed = isOld ? OLD_ACTIVATIONS[config.non_linearity as string] : undefined;
    return {
      ...config,
      ...(renamed !== undefined && { non_linearity: renamed }),
      ...{ hidden_size, model_class, model_type, name, version, revision },
      base_model_name_or_path: model_name,
      peft_type: "BOTTLENECK",
    };
  },
  json(config) {
    const names = Object.keys(BN_FIELDS) as (keyof BnConfig)[];
    const own = Object.fromEntries(names.map((name) => [name, config[name]]));
    const { name, revision } = config;
    return { config: own, name, ...modelOf(config), ...(revision === null ? {} : { revision }) };
  },
  headJson(config) {
    const labels = config.labels ?? [];
    const label2id = Object.fromEntries(labels.map((label, i) => [label, i]));
    return { config: null, name: null, ...modelOf(config), label2id, num_labels: labels.length };
  },
  tensorName: (path, end, { name }) => `${path}.${end.replace(/^adapters\./, `adapters.${name}.`)}`,
};

/** What both configurations say of the model. */
function modelOf({ base_model_name_or_path: model_name, ...config }: AdapterHubConfig): JsonObject {
  const { hidden_size, model_class, model_type, version } = config;
  return { hidden_size, model_class, model_name, model_type, version };
}
