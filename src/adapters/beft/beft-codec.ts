import { isLinear } from "../../nn/linear.ts";
import type { Codec, MethodKind } from "../codec.ts";
import {
  commonFields,
  type FieldTable,
  FLAG,
  type PeftConfig,
  TARGET_FIELDS,
  type TargetConfig,
} from "../config-fields.ts";
import { chosenBy, readWhole, writtenTargets } from "../config-targets.ts";
import { BESIDE_OPTIONS, type MethodOption, targetOption } from "../method-options.ts";
import { type Beft, beft } from "./beft.ts";

/** `adapter_config.json` of `peft_type` BEFT. */
export interface PeftBeftConfig extends Omit<TargetConfig, "exclude_modules"> {
  init_weights: boolean;
}

const { exclude_modules: _, ...TARGETS } = TARGET_FIELDS;

const codec: Codec<Beft, PeftBeftConfig> = {
  fields: {
    ...(commonFields("BEFT") as FieldTable<PeftConfig>),
    ...TARGETS,
    init_weights: [true, FLAG],
  },
  floats: [],
  tensors: { beft_bias: "beft_bias" },
  check(tensors, _, note) {
    for (const [path, { beft_bias: bias }] of tensors)
      if (bias && (bias.shape.length !== 2 || bias.shape[0] !== 1))
        note("the shape is not [1, out]", `${path} ([${bias.shape}])`);
    return [];
  },
  misfit(module, { beft_bias: bias }) {
    if (!module || !isLinear(module)) return "is no linear layer of the model";
    if (bias?.shape[1] === module.outFeatures) return undefined;
    return `beft_bias [${bias?.shape}] does not fit a layer of ${module.outFeatures} outputs`;
  },
  read(model, stored) {
    const { config, tensors } = stored;
    const rest = { initWeights: config.init_weights, ...readWhole(model, stored) };
    return chosenBy(model, { ...config, exclude_modules: null }, [...tensors.keys()], ({ targetModules }) =>
      beft({ ...rest, targetModules }),
    );
  },
  write(adapter) {
    const { options, targetsIn } = adapter.method;
    const targetModules = targetsIn(adapter.base);
    const { modules_to_save, target_modules } = writtenTargets(adapter, { ...options, targetModules });
    return { modules_to_save, target_modules, init_weights: options.initWeights ?? true };
  },
};

/** BEFT in the registry. */
export const BEFT: MethodKind<Beft, PeftBeftConfig> = {
  type: "BEFT",
  name: "beft",
  codec,
  options: {
    ...targetOption("linear layers whose outputs get a bias"),
    init_weights: {
      sets: "initWeights",
      value: { is: "switch" },
      help: "the biases begin at zero; true by default",
    },
    modules_to_save: BESIDE_OPTIONS.modules_to_save as MethodOption,
  },
  make: beft,
};
