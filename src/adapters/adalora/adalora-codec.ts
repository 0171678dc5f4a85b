import { isLinear } from "../../nn/linear.ts";
import type { HostTensor } from "../../util/host-tensor.ts";
import { isObject } from "../../util/json.ts";
import { FACTOR, isWithin } from "../../util/options.ts";
import type { Adapter } from "../adapter.ts";
import type { Codec, MethodKind, Note, SortedTensors, StoredAdapter, StoredInfo } from "../codec.ts";
import {
  COUNT,
  type FieldTable,
  type Kind,
  layerConflicts,
  type Obstacle,
  oneText,
  orNull,
} from "../config-fields.ts";
import { chosenBy, readWhole, writtenTargets } from "../config-targets.ts";
import { LORA_FIELDS, LORA_FLOATS } from "../lora/lora-config.ts";
import type { PeftLoraConfig } from "../lora/lora-fields.ts";
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
import { ADALORA_DEFAULTS, type AdaLora, type AdaLoraOptions, adalora, cutAdalora } from "./adalora.ts";
import { runLength } from "./run-length.ts";

/** `adapter_config.json` of `peft_type` ADALORA: LoRA's fields, of which few mean anything here, and its own. */
export interface PeftAdaLoraConfig extends Omit<PeftLoraConfig, "peft_type" | "rank_pattern"> {
  beta1: number;
  beta2: number;
  deltaT: number;
  init_r: number;
  orth_reg_weight: number;
  peft_type: "ADALORA";
  /** Which ranks are left, by the names of lora_E; the tensors are cut down to them. */
  rank_pattern: Readonly<Record<string, readonly boolean[]>> | null;
  target_r: number;
  tfinal: number;
  tinit: number;
  total_step: number | null;
}

const WHOLE: Kind = {
  wants: "a whole number ≥ 0",
  accepts: (v) => Number.isSafeInteger(v) && Number(v) >= 0,
};
const SHARE: Kind = {
  wants: "a number above 0 and below 1",
  accepts: (v) => isWithin(v, { above: 0, below: 1 }),
};
const WEIGHT: Kind = { wants: "a number ≥ 0", accepts: (v) => isWithin(v, { min: 0, max: FACTOR.max }) };
const isMask = (value: unknown) => Array.isArray(value) && value.every((v) => typeof v === "boolean");
const MASKS: Kind = orNull({
  wants: "an object of lists of true and false",
  accepts: (value) => isObject(value) && Object.values(value).every(isMask),
});

const FIELDS: FieldTable<PeftAdaLoraConfig> = {
  ...(LORA_FIELDS as unknown as FieldTable<PeftAdaLoraConfig>),
  beta1: [ADALORA_DEFAULTS.beta1, SHARE],
  beta2: [ADALORA_DEFAULTS.beta2, SHARE],
  deltaT: [1, COUNT],
  init_r: [12, COUNT],
  orth_reg_weight: [0.5, WEIGHT],
  peft_type: ["ADALORA", oneText(["ADALORA"])],
  rank_pattern: [null, MASKS],
  target_r: [8, COUNT],
  tfinal: [0, WHOLE],
  tinit: [0, WHOLE],
  total_step: [null, orNull(COUNT)],
};

/** Fields of LoRA that PEFT's AdaLoRA has no use for, or that ask for more than the method. */
const UNUSED = [
  ...([
    "alora_invocation_tokens",
    "arrow_config",
    "bias",
    "corda_config",
    "eva_config",
    "kasa_config",
  ] as const),
  ...(["layer_replication", "lora_bias", "lora_ga_config", "megatron_config", "monteclora_config"] as const),
  ...(["target_parameters", "trainable_token_indices", "use_bdlora", "use_dora", "use_qalora"] as const),
  "velora_config" as const,
];

/** The key of a layer in `rank_pattern`. */
const RANK_KEY = ".lora_E";
const isLeft = (kept: boolean) => kept;

const codec: Codec<AdaLora, PeftAdaLoraConfig> = {
  fields: FIELDS,
  floats: [...LORA_FLOATS, "beta1", "beta2", "orth_reg_weight"],
  tensors: { lora_A: "lora_A", lora_B: "lora_B", lora_E: "lora_E" },
  findings(config, right) {
    const asked = UNUSED.filter((name) => right(name) && isAsked(config[name], FIELDS[name][0]));
    const obstacles = asked.map(
      (name): Obstacle => ({
        problem: `${name} is ${JSON.stringify(config[name])}: it is not supported with AdaLoRA`,
        remedy: MERGE,
      }),
    );
    return { problems: layerConflicts(config), obstacles };
  },
  check(tensors, config, note) {
    requireTogether(tensors, ["lora_A", "lora_B", "lora_E"], note);
    for (const [path, there] of tensors) checkRank(path, there, config, note);
    return [];
  },
  misfit(module, { lora_A, lora_B }) {
    if (!module || !isLinear(module)) return "is no linear layer of the model";
    const { inFeatures, outFeatures } = module;
    if (lora_A?.shape[1] === inFeatures && lora_B?.shape[0] === outFeatures) return undefined;
    return `A [${lora_A?.shape}], B [${lora_B?.shape}] do not fit a layer of ${inFeatures} → ${outFeatures}`;
  },
  stored: (tensors) => new Map([...tensors].map(([path, own]) => [path, cutDown(own)])),
  read,
  write: writtenConfig,
};

/** Python's truth, but for words: none of false, null, [] and {} asks for anything. */
function isAsked(value: unknown, plain: unknown): boolean {
  if (value === plain || value === null || value === false) return false;
  return typeof value !== "object" || Object.keys(value).length > 0;
}

type There = SortedTensors<StoredInfo>["tensors"] extends ReadonlyMap<string, infer T> ? T : never;

function checkRank(
  path: string,
  { lora_A: A, lora_B: B, lora_E: E }: There,
  config: PeftAdaLoraConfig | undefined,
  note: Note,
): void {
  if (!A || !B || !E) return; // noted before
  const where = `${path} (lora_A [${A.shape}], lora_B [${B.shape}], lora_E [${E.shape}])`;
  const [r] = A.shape;
  if (A.shape.length !== 2 || B.shape.length !== 2 || B.shape[1] !== r || String(E.shape) !== `${r},1`) {
    note("the shapes are not lora_A [r, in], lora_B [out, r] and lora_E [r, 1]", where);
    return;
  }
  if (!config) return;
  const mask = config.rank_pattern?.[path + RANK_KEY];
  const wanted = mask ? mask.filter(isLeft).length : config.init_r;
  const said = mask ? `rank_pattern leaves ${wanted}` : `init_r is ${wanted}`;
  if (r !== wanted) note(`the rank is not the configuration's`, `${where}: ${said}`);
}

/** Tensors without the ranks that were masked: PEFT's `resize_state_dict_by_rank_pattern`. */
function cutDown(tensors: Readonly<Record<string, HostTensor>>): Readonly<Record<string, HostTensor>> {
  const { lora_A: A, lora_B: B, lora_E: E, kept } = tensors;
  if (!A || !B || !E || !kept?.data.includes(0)) return tensors;
  const left = [...kept.data.keys()].filter((i) => kept.data[i] !== 0);
  const rank = kept.data.length;
  const rows = ({ shape: [, width = 0], data }: HostTensor): HostTensor => ({
    shape: [left.length, width],
    data: Float32Array.from({ length: left.length * width }, (_, i) => {
      return data[(left[Math.floor(i / width)] as number) * width + (i % width)] as number;
    }),
  });
  const [outputs = 0] = B.shape;
  const columns = Float32Array.from({ length: outputs * left.length }, (_, i) => {
    const row = Math.floor(i / left.length);
    return B.data[row * rank + (left[i % left.length] as number)] as number;
  });
  return { lora_A: rows(A), lora_B: { shape: [outputs, left.length], data: columns }, lora_E: rows(E) };
}

function read(model: Adaptable, stored: StoredAdapter<PeftAdaLoraConfig>): AdaLora {
  const { config, tensors } = stored;
  const { init_r: initR, target_r: targetR, lora_alpha: alpha, lora_dropout: dropout } = config;
  const {
    tinit,
    tfinal,
    deltaT,
    beta1,
    beta2,
    orth_reg_weight: orthRegWeight,
    total_step,
    rank_pattern,
  } = config;
  const rest = {
    ...{ initR, targetR, alpha, dropout, tinit, tfinal, deltaT, beta1, beta2, orthRegWeight },
    initWeights: config.init_lora_weights !== false,
    ...(total_step !== null && { totalStep: total_step }),
    ...readWhole(model, stored),
  };
  const masks = rank_pattern && new Map(Object.entries(rank_pattern));
  const ranks = masks && new Map([...tensors.keys()].map((path) => [path, masks.get(path + RANK_KEY) ?? []]));
  return chosenBy(model, config, [...tensors.keys()], (choice) =>
    ranks ? cutAdalora({ ...rest, ...choice }, ranks) : adalora({ ...rest, ...choice }),
  );
}

function writtenConfig(
  adapter: Adapter<AdaLora>,
  tensors: SortedTensors<HostTensor>["tensors"],
): Partial<PeftAdaLoraConfig> {
  const { method, sites } = adapter;
  const { options } = method;
  const { tinit, tfinal } = options;
  return {
    ...writtenTargets(adapter, options),
    beta1: options.beta1,
    beta2: options.beta2,
    deltaT: options.deltaT,
    fan_in_fan_out: sites.some(({ module }) => isLinear(module) && module.fanInFanOut),
    init_lora_weights: options.initWeights,
    init_r: options.initR,
    lora_alpha: options.alpha,
    lora_dropout: options.dropout,
    orth_reg_weight: options.orthRegWeight,
    rank_pattern: ranksLeft(method, tensors),
    target_r: options.targetR,
    tfinal,
    tinit,
    // PEFT opens no file without one that leaves steps in between.
    total_step: options.totalStep ?? runLength(adapter) ?? tinit + tfinal + 1,
  };
}

/** Which ranks are left, where any was masked. */
function ranksLeft(
  { ranks }: AdaLora,
  tensors: SortedTensors<HostTensor>["tensors"],
): PeftAdaLoraConfig["rank_pattern"] {
  const masks = [...tensors].map(([path, { kept }]): [string, readonly boolean[]] => [
    path + RANK_KEY,
    ranks?.get(path) ?? Array.from(kept?.data ?? [], (value) => value !== 0),
  ]);
  return masks.every(([, mask]) => mask.every(isLeft)) && !ranks ? null : Object.fromEntries(masks);
}

const OPTIONS: MethodOptions<AdaLoraOptions> = {
  init_r: {
    sets: "initR",
    value: { is: "whole", min: 1 },
    fallback: ADALORA_DEFAULTS.initR,
    help: "rank of every layer at first",
    aliases: ["r", "rank"],
  },
  target_r: {
    sets: "targetR",
    value: { is: "whole", min: 1 },
    fallback: ADALORA_DEFAULTS.targetR,
    help: "mean rank in the end",
  },
  lora_alpha: {
    sets: "alpha",
    value: { is: "number", bounds: { above: 0, max: FACTOR.max } },
    fallback: ADALORA_DEFAULTS.alpha,
    help: "the update is scaled by alpha / init_r",
    aliases: ["alpha"],
  },
  lora_dropout: {
    sets: "dropout",
    value: CHANCE,
    fallback: ADALORA_DEFAULTS.dropout,
    help: "dropout before the update",
  },
  tinit: stepsOption("tinit", "steps before ranks are cut down"),
  tfinal: stepsOption("tfinal", "steps at the end in which they stay"),
  delta_t: {
    sets: "deltaT",
    value: { is: "whole", min: 1 },
    fallback: ADALORA_DEFAULTS.deltaT,
    help: "steps between two cuts",
    aliases: ["deltat"],
  },
  total_step: {
    sets: "totalStep",
    value: { is: "whole", min: 1 },
    help: "steps of the plan; by default those of the run",
  },
  beta1: shareOption("beta1", "share of the mean of sensitivities that stays in a step"),
  beta2: shareOption("beta2", "the same of the mean of their uncertainties"),
  orth_reg_weight: {
    sets: "orthRegWeight",
    value: { is: "number", bounds: { min: 0, max: FACTOR.max } },
    fallback: ADALORA_DEFAULTS.orthRegWeight,
    help: "factor of the penalty on what is not orthogonal, which is part of the training loss",
  },
  init_lora_weights: {
    sets: "initWeights",
    value: { is: "switch" },
    fallback: true,
    help: "the update begins as zero",
    aliases: ["init_weights"],
  },
  ...targetOption("layers to adapt", ADALORA_DEFAULTS.targetModules),
  ...LAYER_OPTIONS,
  ...BESIDE_OPTIONS,
};

function stepsOption<K extends "tinit" | "tfinal">(sets: K, help: string): MethodOption<K> {
  return { sets, value: { is: "whole", min: 0 }, fallback: ADALORA_DEFAULTS[sets], help };
}

function shareOption<K extends "beta1" | "beta2">(sets: K, help: string): MethodOption<K> {
  const bounds = { above: 0, below: 1 };
  return { sets, value: { is: "number", bounds }, fallback: ADALORA_DEFAULTS[sets], help };
}

/** AdaLoRA in the registry. */
export const ADALORA: MethodKind<AdaLora, PeftAdaLoraConfig> = {
  type: "ADALORA",
  name: "adalora",
  codec,
  options: OPTIONS,
  make: adalora,
  becomesLora: true,
};
