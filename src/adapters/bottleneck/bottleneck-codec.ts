import { isBranch } from "../../nn/branch.ts";
import { modules } from "../../nn/module.ts";
import type { Adapter } from "../adapter.ts";
import type { Codec, MethodKind, StoredAdapter, TensorKind } from "../codec.ts";
import type { Obstacle } from "../config-fields.ts";
import type { Adaptable } from "../method.ts";
import { CHANCE, type MethodOptions } from "../method-options.ts";
import { requireTogether } from "../stored-tensors.ts";
import {
  ADAPTER_HUB,
  ADAPTER_HUB_FIELDS,
  ADAPTER_HUB_FLOATS,
  type AdapterHubConfig,
  type BnConfig,
  isBottleneck,
  missingFields,
} from "./adapter-hub.ts";
import { type Bottleneck, bottleneck } from "./bottleneck.ts";
import {
  type BottleneckOptions,
  type BottleneckShape,
  DEFAULT_PRESET,
  isReduction,
  NON_LINEARITIES,
  PRESET_NAMES,
} from "./bottleneck-options.ts";

const codec: Codec<Bottleneck, AdapterHubConfig> = {
  writer: "AdapterHub",
  layout: ADAPTER_HUB,
  fields: ADAPTER_HUB_FIELDS,
  floats: ADAPTER_HUB_FLOATS,
  tensors: {
    down_weight: "adapters.adapter_down.0.weight",
    down_bias: "adapters.adapter_down.0.bias",
    up_weight: "adapters.adapter_up.weight",
    up_bias: "adapters.adapter_up.bias",
    scaling: "adapters.scaling",
    norm_weight: "adapters.adapter_norm_after.weight",
    norm_bias: "adapters.adapter_norm_after.bias",
  },
  findings: (config, right) => ({
    problems: [...nameProblems(config), ...missingFields(config)],
    obstacles: obstacles(config, right),
  }),
  foreign: foreignTensor,
  check(tensors, config, note) {
    const scaling = typeof config?.scaling === "string" ? ["scaling"] : [];
    const norm = config?.ln_after ? ["norm_weight", "norm_bias"] : [];
    const linears = ["down_weight", "down_bias", "up_weight", "up_bias"];
    requireTogether(tensors, [...linears, ...scaling, ...norm], note);
    const unasked = config ? ["scaling", "norm_weight", "norm_bias"] : [];
    for (const [path, there] of tensors) {
      const alien = unasked.filter((name) => there[name] && ![...scaling, ...norm].includes(name));
      if (alien.length > 0) note(`${alien.join(", ")}, which the configuration has not`, path);
    }
    return [];
  },
  misfit: (module) => (module && isBranch(module) ? undefined : "is no place of an adapter in the model"),
  misfits: (model, stored) => [...baseMisfits(model, stored), ...shapeMisfits(model, stored)],
  read: (_, stored) => methodOf(stored),
  write: writtenConfig,
};

const OPTIONS: MethodOptions<BottleneckOptions> = {
  adapter_config: {
    sets: "adapterConfig",
    value: { is: "choice", choices: PRESET_NAMES },
    fallback: DEFAULT_PRESET,
    help: "a published configuration, whose values hold where no other is given: pfeiffer is seq_bn, houlsby double_seq_bn, parallel par_bn",
  },
  mh_adapter: { sets: "mhAdapter", value: { is: "switch" }, help: "an adapter behind attention" },
  output_adapter: { sets: "outputAdapter", value: { is: "switch" }, help: "an adapter behind the MLP" },
  reduction_factor: {
    sets: "reductionFactor",
    value: {
      is: "read",
      placeholder: "x",
      wanted: 'a number above 0, or such numbers by layers: {"0": 8, "default": 16}',
      read: readReduction,
    },
    help: "width of the residual stream divided by the bottleneck's",
  },
  non_linearity: {
    sets: "nonLinearity",
    value: { is: "choice", choices: NON_LINEARITIES },
    help: "what acts in the bottleneck",
  },
  original_ln_before: {
    sets: "originalLnBefore",
    value: { is: "switch" },
    help: "it reads the residual stream behind the addition, normalised where the layer does that there",
  },
  ln_after: { sets: "lnAfter", value: { is: "switch" }, help: "a new LayerNorm behind the bottleneck" },
  is_parallel: {
    sets: "isParallel",
    value: { is: "switch" },
    help: "beside attention and MLP, not behind them",
  },
  scaling: {
    sets: "scaling",
    value: { is: "read", placeholder: "x", wanted: "a number, learned or channel", read: readScaling },
    help: "factor of what it adds, or trained: one (learned), or one for each feature (channel)",
  },
  residual_before_ln: {
    sets: "residualBeforeLn",
    value: { is: "read", placeholder: "x", wanted: "true, false or post_add", read: readResidual },
    help: "it adds to what attention or the MLP gave (true), to what it reads (false), or to the sum (post_add)",
  },
  adapter_residual_before_ln: {
    sets: "adapterResidualBeforeLn",
    value: { is: "switch" },
    help: "the addition comes before the new LayerNorm",
  },
  init_weights: {
    sets: "initWeights",
    value: { is: "choice", choices: ["bert", "mam_adapter", "houlsby"] },
    help: "how it begins: mam_adapter without an effect, the others with a small one",
  },
  leave_out: {
    sets: "leaveOut",
    value: { is: "wholes", min: 0 },
    help: "layers without an adapter, by their numbers",
  },
  dropout: { sets: "dropout", value: CHANCE, help: "probability of dropping an element of what it adds" },
};

/** Bottleneck adapters in the registry. */
export const BOTTLENECK: MethodKind<Bottleneck, AdapterHubConfig> = {
  type: "BOTTLENECK",
  name: "bottleneck",
  codec,
  options: OPTIONS,
  make: bottleneck,
};

function readReduction(value: unknown): unknown {
  if (typeof value !== "string") return isReduction(value) ? value : undefined;
  const read = value.trim().startsWith("{") ? parsed(value) : Number(value);
  return isReduction(read) ? read : undefined;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function readScaling(value: unknown): unknown {
  if (value === "learned" || value === "channel") return value;
  const factor = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  return typeof factor === "number" && Number.isFinite(factor) ? factor : undefined;
}

function readResidual(value: unknown): unknown {
  if (value === "true" || value === "false") return value === "true";
  return typeof value === "boolean" || value === "post_add" ? value : undefined;
}

/** A name is a part of the tensors' names, where a dot would end it. */
function nameProblems({ name }: AdapterHubConfig): string[] {
  const isRight = typeof name === "string" && name !== "" && !name.includes(".");
  return isRight ? [] : [`name is ${JSON.stringify(name)}: AdapterHub's names of adapters have no dot`];
}

const WITH_ADAPTERS = "only AdapterHub's library can run it; or train a new one here";

/** What is not supported of a configuration, by name. */
function obstacles(config: AdapterHubConfig, right: (name: keyof AdapterHubConfig) => boolean): Obstacle[] {
  const told: readonly (readonly [keyof AdapterHubConfig, isThere: boolean, what: string])[] = [
    ["architecture", !isBottleneck(config), "this method of AdapterHub's"],
    ["ln_before", config.ln_before, "a new LayerNorm before the bottleneck"],
    ["original_ln_after", !config.original_ln_after, "layers without their residual connection"],
    ["use_gating", config.use_gating, "gates"],
    ["inv_adapter", config.inv_adapter !== null, "an invertible adapter behind the embedding"],
    ["cross_adapter", config.cross_adapter, "cross-attention"],
    ["phm_layer", config.phm_layer, "Compacter's factorised layers"],
    ["stochastic_depth", (config.stochastic_depth ?? 0) !== 0, "layers that are left out while training"],
  ];
  // A configuration of another method lacks the fields of this one.
  return told
    .filter(([name, isThere]) => right(name) && isThere)
    .map(([name, , what]) => ({
      problem: `${name} is ${JSON.stringify(config[name])}: ${what}: not supported`,
      remedy: WITH_ADAPTERS,
    }));
}

/** Tensors of AdapterHub's that belong to none of these adapters. */
function foreignTensor(name: string): TensorKind | undefined {
  if (/\.(?:attention|layer)_text_(?:task|lang)_adapters\./.test(name))
    return {
      what: "tensors by the names of adapter-transformers 1",
      remedy: "load it in Python with AdapterHub's library and save it again, which renames them",
    };
  if (/\.(?:adapter_fusion_layer|invertible_adapters|prefix_tunings|loras|refts|prompt_tunings)\./.test(name))
    return { what: "tensors of another method of AdapterHub's", remedy: WITH_ADAPTERS };
  if (/^heads\.|\.heads\./.test(name))
    return {
      what: "tensors of a head that can be exchanged",
      remedy: "save it from one of transformers' own classes: adapters.init(model), then save_head",
    };
  return undefined;
}

/** The model is another one than the configuration says. */
function baseMisfits(
  { name, modelType, config }: Adaptable,
  { config: { model_type, hidden_size } }: StoredAdapter<AdapterHubConfig>,
): Obstacle[] {
  const remedy = "give the base model that it was trained on";
  return [
    ...(model_type !== null && model_type !== modelType
      ? [{ problem: `is an adapter for a ${model_type} model, and ${name} is a ${modelType} model`, remedy }]
      : []),
    ...(hidden_size !== null && config && hidden_size !== config.hiddenSize
      ? [{ problem: `hidden_size is ${hidden_size}, and that of ${name} is ${config.hiddenSize}`, remedy }]
      : []),
  ];
}

/** The tensors are not those that the configuration gives the model: others, or of other sizes. */
function shapeMisfits(model: Adaptable, stored: StoredAdapter<AdapterHubConfig>): Obstacle[] {
  if (baseMisfits(model, stored).length > 0) return [];
  const method = methodOf(stored);
  const sites = new Map(method.sites(model).map((site) => [site.path, method.tensors(site)]));
  const remedy = "take both files of one adapter, and the base model that it was trained on";
  const places = [...modules(model.root)].filter(isBranch).map(({ path }) => path);
  const alien = places.filter((path) => stored.tensors.has(path) && !sites.has(path));
  const problems = alien.map((path) => `${path}: the configuration has no adapter there`);
  for (const [path, plans] of sites) {
    const there = stored.tensors.get(path);
    const wrong = Object.entries(plans).filter(
      ([name, { shape }]) => String(there?.[name]?.shape) !== String(shape),
    );
    if (!there) problems.push(`${path}: its adapter is missing in the file`);
    else if (wrong.length > 0)
      problems.push(
        `${path}: ${wrong.map(([name, { shape }]) => `${name} is [${there[name]?.shape ?? "missing"}], wanted [${shape}]`).join(", ")}`,
      );
  }
  return problems.map((problem) => ({ problem, remedy }));
}

/** What AdapterHub calls the options. */
const FIELD_OF: { readonly [K in keyof BottleneckShape]: keyof BnConfig } = {
  mhAdapter: "mh_adapter",
  outputAdapter: "output_adapter",
  reductionFactor: "reduction_factor",
  nonLinearity: "non_linearity",
  originalLnBefore: "original_ln_before",
  lnAfter: "ln_after",
  isParallel: "is_parallel",
  scaling: "scaling",
  residualBeforeLn: "residual_before_ln",
  adapterResidualBeforeLn: "adapter_residual_before_ln",
  initWeights: "init_weights",
  leaveOut: "leave_out",
  dropout: "dropout",
};
const NAMES = Object.entries(FIELD_OF) as [keyof BottleneckShape, keyof BnConfig][];

/** The method of a configuration whose values were checked. */
function methodOf({ config, saved }: Pick<StoredAdapter<AdapterHubConfig>, "config" | "saved">): Bottleneck {
  const shape = Object.fromEntries(NAMES.map(([option, field]) => [option, config[field]]));
  return bottleneck({ ...(shape as Partial<BottleneckShape>), trainHead: saved.size > 0 });
}

function writtenConfig({ name, base, method: { shape } }: Adapter<Bottleneck>): Partial<AdapterHubConfig> {
  const own = Object.fromEntries(NAMES.map(([option, field]) => [field, shape[option]]));
  return {
    ...(own as Partial<BnConfig>),
    hidden_size: base.config?.hiddenSize ?? null,
    model_class: base.architecture ?? null,
    model_type: base.modelType ?? null,
    labels: base.labels ?? null,
    name,
  };
}
