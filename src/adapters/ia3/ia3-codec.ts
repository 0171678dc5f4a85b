import { isLinear } from "../../nn/linear.ts";
import type { Adapter } from "../adapter.ts";
import type { Codec, MethodKind } from "../codec.ts";
import {
  commonFields,
  type FieldTable,
  FLAG,
  NAMES,
  type PeftConfig,
  TARGET_FIELDS,
  type TargetConfig,
} from "../config-fields.ts";
import { chosenBy, readWhole, writtenTargets } from "../config-targets.ts";
import { BESIDE_OPTIONS, targetOption } from "../method-options.ts";
import { type Ia3, ia3 } from "./ia3.ts";

/** `adapter_config.json` of `peft_type` IA3. */
export interface PeftIa3Config extends TargetConfig {
  fan_in_fan_out: boolean;
  feedforward_modules: readonly string[] | string | null;
  init_ia3_weights: boolean;
}

const FIELDS: FieldTable<PeftIa3Config> = {
  ...(commonFields("IA3") as FieldTable<PeftConfig>),
  ...TARGET_FIELDS,
  fan_in_fan_out: [false, FLAG],
  feedforward_modules: [null, NAMES],
  init_ia3_weights: [true, FLAG],
};

const codec: Codec<Ia3, PeftIa3Config> = {
  fields: FIELDS,
  floats: [],
  tensors: { ia3_l: "ia3_l" },
  check(tensors, config, note) {
    const method = ia3({
      ...(config?.feedforward_modules && { feedforwardModules: config.feedforward_modules }),
    });
    for (const [path, { ia3_l }] of tensors) {
      const shape = ia3_l?.shape ?? [];
      const wanted = method.isFeedforward(path) ? "[1, in]" : "[out, 1]";
      const isRight = shape.length === 2 && shape[method.isFeedforward(path) ? 0 : 1] === 1;
      if (!isRight) note(`the shape is not ${wanted}, as feedforward_modules has it`, `${path} ([${shape}])`);
    }
    return [];
  },
  misfit(module, { ia3_l }) {
    if (!module || !isLinear(module)) return "is no linear layer of the model";
    const [rows, columns] = ia3_l?.shape ?? [];
    const { inFeatures, outFeatures } = module;
    if (rows === 1 ? columns === inFeatures || outFeatures === 1 : rows === outFeatures) return undefined;
    return `ia3_l [${ia3_l?.shape}] does not fit a layer of ${inFeatures} → ${outFeatures}`;
  },
  read(model, stored) {
    const { config, tensors } = stored;
    const { feedforward_modules } = config;
    const rest = {
      ...(feedforward_modules && { feedforwardModules: feedforward_modules }),
      ...readWhole(model, stored),
    };
    return chosenBy(model, config, [...tensors.keys()], (choice) => ia3({ ...rest, ...choice }));
  },
  write: writtenConfig,
};

/** (IA)³ in the registry. */
export const IA3: MethodKind<Ia3, PeftIa3Config> = {
  type: "IA3",
  name: "ia3",
  codec,
  options: {
    ...targetOption("layers whose outputs or inputs are scaled"),
    feedforward_modules: {
      sets: "feedforwardModules",
      value: { is: "targets" },
      help: "those of them whose inputs are scaled; by default the MLPs' last layers",
    },
    ...BESIDE_OPTIONS,
  },
  make: ia3,
  becomesLora: true,
};

function writtenConfig(adapter: Adapter<Ia3>): Partial<PeftIa3Config> {
  const { method, sites, base } = adapter;
  const options = { ...method.options, targetModules: method.targetsIn(base) };
  const { exclude_modules, modules_to_save, target_modules } = writtenTargets(adapter, options);
  return {
    exclude_modules,
    modules_to_save,
    target_modules,
    feedforward_modules: feedforwardNames(adapter, target_modules),
    fan_in_fan_out: sites.some(({ module }) => isLinear(module) && module.fanInFanOut),
  };
}

/** The user's own words where they may stand beside the targets, else those of the targets that they mean. */
function feedforwardNames(
  { method, sites }: Adapter<Ia3>,
  targets: readonly string[] | string | null,
): readonly string[] | string {
  const { feedforwardModules } = method.options;
  if (typeof feedforwardModules === "string") return feedforwardModules;
  const paths = sites.map(({ module }) => module.path).filter(method.isFeedforward);
  if (!Array.isArray(targets)) return feedforwardModules ?? paths;
  return targets.filter((name: string) => paths.some((path) => path === name || path.endsWith(`.${name}`)));
}
