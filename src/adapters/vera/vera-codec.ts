import { isLinear } from "../../nn/linear.ts";
import { fail } from "../../util/fail.ts";
import { FACTOR } from "../../util/options.ts";
import type { Adapter } from "../adapter.ts";
import type { Codec, MethodKind, StoredAdapter } from "../codec.ts";
import {
  COUNT,
  commonFields,
  type FieldTable,
  FLAG,
  type Kind,
  LAYER_FIELDS,
  type LayerConfig,
  layerConflicts,
  NUMBER,
  type PeftConfig,
  PROBABILITY,
  TARGET_FIELDS,
  type TargetConfig,
  TEXT,
} from "../config-fields.ts";
import { chosenBy, readWhole, writtenTargets } from "../config-targets.ts";
import type { Adaptable } from "../method.ts";
import {
  BESIDE_OPTIONS,
  CHANCE,
  LAYER_OPTIONS,
  type MethodOption,
  type MethodOptions,
  targetOption,
} from "../method-options.ts";
import { MERGE } from "../remedies.ts";
import { requireTogether } from "../stored-tensors.ts";
import { VERA_DEFAULTS, type Vera, type VeraOptions, vera } from "./vera.ts";

/** `adapter_config.json` of `peft_type` VERA. */
export interface PeftVeraConfig extends Omit<TargetConfig, "exclude_modules">, LayerConfig {
  /** `none`, `all` or `vera_only`. */
  bias: string;
  /** Where the factors d begin. */
  d_initial: number;
  fan_in_fan_out: boolean;
  init_weights: boolean;
  /** Seeds the random matrices. */
  projection_prng_key: number;
  r: number;
  /** Whether the file holds the random matrices. */
  save_projection: boolean;
  vera_dropout: number;
}

const SEED: Kind = {
  wants: "a whole number of at least 0 and below 2^32",
  accepts: (v) => Number.isSafeInteger(v) && (v as number) >= 0 && (v as number) < 2 ** 32,
};

const FIELDS: FieldTable<PeftVeraConfig> = {
  ...(commonFields("VERA") as FieldTable<PeftConfig>),
  modules_to_save: TARGET_FIELDS.modules_to_save,
  target_modules: TARGET_FIELDS.target_modules,
  ...LAYER_FIELDS,
  bias: ["none", TEXT],
  d_initial: [0.1, NUMBER],
  fan_in_fan_out: [false, FLAG],
  init_weights: [true, FLAG],
  projection_prng_key: [0, SEED],
  r: [256, COUNT],
  save_projection: [true, FLAG],
  vera_dropout: [0, PROBABILITY],
};

const codec: Codec<Vera, PeftVeraConfig> = {
  fields: FIELDS,
  floats: ["d_initial", "vera_dropout"],
  tensors: { vera_lambda_b: "vera_lambda_b", vera_lambda_d: "vera_lambda_d" },
  shared: { vera_A: "base_model.vera_A", vera_B: "base_model.vera_B" },
  findings(config, right) {
    const problems = layerConflicts(config);
    if (!right("bias") || config.bias === "none") return { problems, obstacles: [] };
    const problem = `bias is ${JSON.stringify(config.bias)}: trained biases of VeRA are not supported`;
    return { problems, obstacles: [{ problem, remedy: MERGE }] };
  },
  check(tensors, config, note) {
    requireTogether(tensors, ["vera_lambda_b", "vera_lambda_d"], note);
    for (const [path, { vera_lambda_d: d }] of tensors) {
      if (config && d && d.shape[0] !== config.r)
        note("vera_lambda_d has not r elements", `${path} ([${d.shape}], r is ${config.r})`);
    }
    return [];
  },
  misfit(module, { vera_lambda_b: b, vera_lambda_d: d }) {
    if (!module || !isLinear(module)) return "is no linear layer of the model";
    const { inFeatures, outFeatures } = module;
    if (b?.shape.length === 1 && b.shape[0] === outFeatures && d?.shape.length === 1) return undefined;
    return `vera_lambda_b [${b?.shape}] does not fit a layer of ${inFeatures} → ${outFeatures}`;
  },
  read: veraOf,
  write: writtenConfig,
};

const OPTIONS: MethodOptions<VeraOptions> = {
  r: {
    sets: "r",
    value: { is: "whole", min: 1 },
    fallback: VERA_DEFAULTS.r,
    help: "rows of the random matrix A",
    aliases: ["rank", "vera_r"],
  },
  vera_dropout: {
    sets: "dropout",
    value: CHANCE,
    fallback: VERA_DEFAULTS.dropout,
    help: "dropout before the update",
  },
  d_initial: {
    sets: "dInitial",
    value: { is: "number", bounds: FACTOR },
    fallback: VERA_DEFAULTS.dInitial,
    help: "where the factors d begin",
  },
  projection_prng_key: {
    sets: "projectionPrngKey",
    value: { is: "whole", min: 0 },
    fallback: VERA_DEFAULTS.projectionPrngKey,
    help: "seeds the random matrices, as in PEFT to the bit",
  },
  ...targetOption("layers to adapt", VERA_DEFAULTS.targetModules),
  ...LAYER_OPTIONS,
  modules_to_save: BESIDE_OPTIONS.modules_to_save as MethodOption<"modulesToSave">,
};

/** VeRA in the registry. */
export const VERA: MethodKind<Vera, PeftVeraConfig> = {
  type: "VERA",
  name: "vera",
  codec,
  options: OPTIONS,
  make: vera,
  becomesLora: true,
};

function veraOf(model: Adaptable, stored: StoredAdapter<PeftVeraConfig>): Vera {
  const { config, tensors } = stored;
  const { r, projection_prng_key: projectionPrngKey, vera_dropout: dropout, d_initial: dInitial } = config;
  const rest = { r, projectionPrngKey, dropout, dInitial, ...readWhole(model, stored) };
  const method = chosenBy(model, { ...config, exclude_modules: null }, [...tensors.keys()], (choice) =>
    vera({ ...rest, ...choice }),
  );
  checkProjections(method, model, stored);
  return method;
}

/** The random matrices of a file have to be those of the widest layers; those that it leaves out are drawn again. */
function checkProjections(
  method: Vera,
  model: Adaptable,
  { config, shared }: StoredAdapter<PeftVeraConfig>,
): void {
  for (const [name, plan] of Object.entries(method.shared?.(model) ?? {})) {
    const found = shared[name]?.shape;
    if (found === undefined && config.save_projection) {
      const help =
        "take both files of one adapter, or set save_projection to false where it was saved without";
      fail("adapter_model.safetensors", `${name} is missing, which save_projection promises`, help);
    }
    if (found && String(found) !== String(plan.shape)) {
      const help = "take both files of one adapter, and the base model that it was trained on";
      fail("adapter_model.safetensors", `${name} is [${found}], wanted [${plan.shape}]`, help);
    }
  }
}

function writtenConfig(adapter: Adapter<Vera>): Partial<PeftVeraConfig> {
  const { method, sites } = adapter;
  const { r, projectionPrngKey, dropout, dInitial } = method.options;
  const { exclude_modules: _, ...targets } = writtenTargets(adapter, method.options);
  return {
    ...targets,
    r,
    projection_prng_key: projectionPrngKey,
    vera_dropout: dropout,
    d_initial: dInitial,
    fan_in_fan_out: sites.some(({ module }) => isLinear(module) && module.fanInFanOut),
  };
}
