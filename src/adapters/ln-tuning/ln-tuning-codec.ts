import type { Adapter } from "../adapter.ts";
import type { Codec, MethodKind } from "../codec.ts";
import {
  commonFields,
  type FieldTable,
  type PeftConfig,
  TARGET_FIELDS,
  type TargetConfig,
} from "../config-fields.ts";
import { chosenBy, readWhole, writtenTargets } from "../config-targets.ts";
import { BESIDE_OPTIONS, targetOption } from "../method-options.ts";
import { isNorm, type LnTuning, lnTuning } from "./ln-tuning.ts";

const codec: Codec<LnTuning, TargetConfig> = {
  fields: { ...(commonFields("LN_TUNING") as FieldTable<PeftConfig>), ...TARGET_FIELDS },
  floats: [],
  tensors: { weight: "ln_tuning_layers.weight", bias: "ln_tuning_layers.bias" },
  check: () => [], // every norm stands for itself
  misfit(module, tensors) {
    if (!module || !isNorm(module)) return "is no norm of the model";
    const shapes = (of: Readonly<Record<string, { shape: readonly number[] }>>) =>
      Object.entries(of)
        .map(([name, { shape }]) => `${name} [${shape}]`)
        .sort()
        .join(", ");
    const [got, wanted] = [shapes(tensors), shapes(module.tensors)];
    return got === wanted ? undefined : `has ${got}, and the model's norm ${wanted}`;
  },
  read: (model, stored) =>
    chosenBy(model, stored.config, [...stored.tensors.keys()], (choice) =>
      lnTuning({ ...readWhole(model, stored), ...choice }),
    ),
  write: writtenConfig,
};

/** LN tuning in the registry. */
export const LN_TUNING: MethodKind<LnTuning, TargetConfig> = {
  type: "LN_TUNING",
  name: "ln_tuning",
  codec,
  options: { ...targetOption("norms to train"), ...BESIDE_OPTIONS },
  make: lnTuning,
};

function writtenConfig(adapter: Adapter<LnTuning>): Partial<TargetConfig> {
  const { method, base } = adapter;
  const options = { ...method.options, targetModules: method.targetsIn(base) };
  const { exclude_modules, modules_to_save, target_modules } = writtenTargets(adapter, options);
  return { exclude_modules, modules_to_save, target_modules };
}
