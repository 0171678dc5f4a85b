import type { Activation } from "../../kernels/activations.ts";
import { failAll } from "../../util/fail.ts";
import {
  checkOptions,
  either,
  FACTOR,
  flag,
  integer,
  listOf,
  number,
  objectOf,
  oneOf,
  type Rules,
  withDefaults,
} from "../../util/options.ts";

// Names and meaning as in AdapterHub's BnConfig (adapters 1.3, configuration/adapter_config.py), in camel case.

/** Where a bottleneck adapter sits and what it computes. */
export interface BottleneckShape {
  /** An adapter behind attention. */
  mhAdapter: boolean;
  /** An adapter behind the MLP. */
  outputAdapter: boolean;
  /** Width of the residual stream divided by that of the bottleneck: a number, or by layers, `{ "0": 8, default: 16 }`. */
  reductionFactor: number | Readonly<Record<string, number>>;
  /** What acts in the bottleneck, as transformers calls it. */
  nonLinearity: NonLinearity;
  /** It reads the residual stream behind the addition, normalised where the layer does that there; else what attention or the MLP gave. */
  originalLnBefore: boolean;
  /** A new LayerNorm behind the bottleneck. */
  lnAfter: boolean;
  /** It reads what attention or the MLP read, and stands beside them (He et al. 2021). */
  isParallel: boolean;
  /** Factor of what it adds, or trained: one (`learned`), or one for each feature (`channel`). */
  scaling: number | "learned" | "channel";
  /** What it adds to: what attention or the MLP gave (true), that with the residual stream (`post_add`), or what it read (false). */
  residualBeforeLn: boolean | "post_add";
  /** The addition comes before the new LayerNorm. */
  adapterResidualBeforeLn: boolean;
  /** How it begins: `bert` N(0, 0.02), `houlsby` the same cut off with 0.01, `mam_adapter` as LoRA does, without an effect. */
  initWeights: "bert" | "mam_adapter" | "houlsby";
  /** Numbers of layers without an adapter. */
  leaveOut: readonly number[];
  /** Probability of dropping an element of what it adds while training. */
  dropout: number;
}

/** Options of bottleneck adapters. */
export interface BottleneckOptions extends Partial<BottleneckShape> {
  /** A published configuration, whose values hold where nothing else is given; `seq_bn` unless given. */
  adapterConfig?: PresetName;
  /** Whether the head of a classifier is trained whole; true unless given. */
  trainHead?: boolean | undefined;
}

const NAMES = [
  "relu",
  "gelu",
  "gelu_new",
  "gelu_fast",
  "gelu_pytorch_tanh",
  "quick_gelu",
  "silu",
  "swish",
  "tanh",
] as const;

/** Activations by transformers' names. */
export type NonLinearity = (typeof NAMES)[number];

/** The names of {@link NonLinearity}. */
export const NON_LINEARITIES: readonly NonLinearity[] = NAMES;

/** What each name stands for. */
export const ACTIVATION_OF: Readonly<Record<NonLinearity, Activation>> = {
  relu: "relu",
  gelu: "gelu",
  gelu_new: "gelu_tanh",
  gelu_fast: "gelu_tanh",
  gelu_pytorch_tanh: "gelu_tanh",
  quick_gelu: "quick_gelu",
  silu: "silu",
  swish: "silu",
  tanh: "tanh",
};

const PLAIN: BottleneckShape = {
  mhAdapter: false,
  outputAdapter: true,
  reductionFactor: 16,
  nonLinearity: "relu",
  originalLnBefore: false,
  lnAfter: false,
  isParallel: false,
  scaling: 1,
  residualBeforeLn: true,
  adapterResidualBeforeLn: false,
  initWeights: "bert",
  leaveOut: [],
  dropout: 0,
};

/** Pfeiffer et al. 2020, arXiv 2005.00247: one adapter a layer, behind the MLP. */
const SEQUENTIAL: BottleneckShape = { ...PLAIN, originalLnBefore: true };
/** Houlsby et al. 2019, arXiv 1902.00751: two adapters a layer. */
const DOUBLE: BottleneckShape = { ...PLAIN, mhAdapter: true, nonLinearity: "swish" };
/** He et al. 2021, arXiv 2110.04366: beside the MLP. */
const PARALLEL: BottleneckShape = {
  ...PLAIN,
  reductionFactor: 2,
  isParallel: true,
  scaling: 4,
  initWeights: "mam_adapter",
};
const SCALED_PARALLEL: BottleneckShape = { ...PARALLEL, scaling: "learned" };

/** Published configurations by AdapterHub's names, the older ones among them. */
const PRESETS = {
  seq_bn: SEQUENTIAL,
  pfeiffer: SEQUENTIAL,
  double_seq_bn: DOUBLE,
  houlsby: DOUBLE,
  par_bn: PARALLEL,
  parallel: PARALLEL,
  scaled_par_bn: SCALED_PARALLEL,
  scaled_parallel: SCALED_PARALLEL,
} as const satisfies Readonly<Record<string, BottleneckShape>>;

/** The name of a published configuration. */
export type PresetName = keyof typeof PRESETS;

/** The names of {@link PRESETS}. */
export const PRESET_NAMES = Object.keys(PRESETS) as PresetName[];

const REDUCTION = number({ above: 0 });

/** Whether a value is a reduction factor, or such by layers. */
export function isReduction(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return REDUCTION.accepts(value);
  return Object.entries(value).every(
    ([layer, factor]) => /^(?:\d+|default)$/.test(layer) && REDUCTION.accepts(factor),
  );
}

const RULES: Rules<BottleneckOptions> = {
  adapterConfig: oneOf(PRESET_NAMES, "adapter_config"),
  mhAdapter: flag("mh_adapter"),
  outputAdapter: flag("output_adapter"),
  reductionFactor: either(REDUCTION, objectOf("such numbers by layers", isReduction)),
  nonLinearity: oneOf(NON_LINEARITIES, "non_linearity"),
  originalLnBefore: flag("original_ln_before"),
  lnAfter: flag("ln_after"),
  isParallel: flag("is_parallel"),
  scaling: either(number(FACTOR), oneOf(["learned", "channel"])),
  residualBeforeLn: either(flag(), oneOf(["post_add"])),
  adapterResidualBeforeLn: flag("adapter_residual_before_ln"),
  initWeights: oneOf(["bert", "mam_adapter", "houlsby"], "init_weights"),
  leaveOut: listOf(integer({ min: 0 }), "a list of numbers of layers"),
  dropout: number({ min: 0, below: 1 }),
  trainHead: flag("train_head"),
};

/** AdapterHub's, too: Pfeiffer's. */
export const DEFAULT_PRESET: PresetName = "seq_bn";

/** All values of options. @throws LoraError for what is not wanted, and for what contradicts itself */
export function shapeOf(options: BottleneckOptions): BottleneckShape {
  checkOptions("bottleneck", options, RULES);
  const { adapterConfig = DEFAULT_PRESET, trainHead: _, ...given } = options;
  const shape = withDefaults(PRESETS[adapterConfig], given);
  failAll("bottleneck", conflicts(shape), "leave the option out, or take another adapterConfig");
  return shape;
}

/** What of the values excludes each other; AdapterHub raises for these, or leaves one out without a word. */
export function conflicts(shape: BottleneckShape): string[] {
  const { mhAdapter, outputAdapter, residualBeforeLn, originalLnBefore, isParallel } = shape;
  return [
    ...(mhAdapter || outputAdapter
      ? []
      : ["mhAdapter and outputAdapter are both false: there is no adapter"]),
    ...(residualBeforeLn === "post_add" && !isParallel && !originalLnBefore
      ? ['residualBeforeLn is "post_add", which goes with originalLnBefore alone']
      : []),
  ];
}
