import { blockSizeOf, skewElements } from "../../kernels/block-rotation.ts";
import { isLinear, type Linear } from "../../nn/linear.ts";
import type { Adapter } from "../adapter.ts";
import type { Codec, MethodKind } from "../codec.ts";
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
  type Obstacle,
  type PeftConfig,
  PROBABILITY,
  TARGET_FIELDS,
  type TargetConfig,
  TEXT,
} from "../config-fields.ts";
import { chosenBy, readWhole, writtenTargets } from "../config-targets.ts";
import { BESIDE_OPTIONS, LAYER_OPTIONS, type MethodOptions, targetOption } from "../method-options.ts";
import { MERGE } from "../remedies.ts";
import { listed } from "../stored-tensors.ts";
import { blocksAt, OFT_DEFAULTS, type Oft, type OftOptions, oft } from "./oft.ts";

/** `adapter_config.json` of `peft_type` OFT. */
export interface PeftOftConfig extends TargetConfig, LayerConfig {
  /** `none`, `all` or `oft_only`. */
  bias: string;
  block_share: boolean;
  coft: boolean;
  eps: number;
  fan_in_fan_out: boolean;
  init_weights: boolean;
  /** PEFT 0.21 makes no use of it. */
  module_dropout: number;
  num_cayley_neumann_terms: number;
  oft_block_size: number;
  r: number;
  use_cayley_neumann: boolean;
}

const WHOLE: Kind = {
  wants: "a whole number ≥ 0",
  accepts: (v) => Number.isSafeInteger(v) && Number(v) >= 0,
};

const FIELDS: FieldTable<PeftOftConfig> = {
  ...(commonFields("OFT") as FieldTable<PeftConfig>),
  ...TARGET_FIELDS,
  ...LAYER_FIELDS,
  bias: ["none", TEXT],
  block_share: [false, FLAG],
  coft: [false, FLAG],
  eps: [OFT_DEFAULTS.eps, NUMBER],
  fan_in_fan_out: [false, FLAG],
  init_weights: [true, FLAG],
  module_dropout: [0, PROBABILITY],
  num_cayley_neumann_terms: [5, COUNT],
  oft_block_size: [32, WHOLE],
  r: [0, WHOLE],
  use_cayley_neumann: [true, FLAG],
};

const codec: Codec<Oft, PeftOftConfig> = {
  fields: FIELDS,
  floats: ["eps", "module_dropout"],
  tensors: { oft_R: "oft_R.weight" },
  findings(config, right) {
    const { bias, r, oft_block_size: size } = config;
    const obstacles: Obstacle[] =
      right("bias") && bias !== "none"
        ? [
            {
              problem: `bias is ${JSON.stringify(bias)}: trained biases are not supported with OFT`,
              remedy: MERGE,
            },
          ]
        : [];
    const isOne = !right("r") || !right("oft_block_size") || (r === 0) !== (size === 0);
    const problems = isOne ? [] : [`r is ${r} and oft_block_size ${size}: one of them has to be 0`];
    return { problems: [...problems, ...layerConflicts(config)], obstacles };
  },
  check(tensors, _, note) {
    for (const [path, { oft_R: v }] of tensors) {
      const [, elements = 0] = v?.shape ?? [];
      const isRight = v?.shape.length === 2 && skewElements(blockSizeOf(elements)) === elements;
      if (!isRight) note("the shape is not [blocks, size (size − 1) / 2]", `${path} ([${v?.shape}])`);
    }
    return [];
  },
  misfit(module, { oft_R: v }) {
    if (!module || !isLinear(module)) return "is no linear layer of the model";
    const [blocks = 0, elements = 0] = v?.shape ?? [];
    const size = blockSizeOf(elements);
    const { inFeatures } = module;
    if (inFeatures % size === 0 && (blocks === 1 || blocks * size === inFeatures)) return undefined;
    return `oft_R [${v?.shape}], ${blocks} blocks of ${size}, does not fit a layer of ${inFeatures} inputs`;
  },
  warnings({ config }) {
    const [major = 0, minor = 0] = (config.peft_version ?? "0.0").split(".").map(Number);
    if (!config.use_cayley_neumann || major > 0 || minor >= 18) return [];
    return [
      "use_cayley_neumann meant another series before PEFT 0.18, which this adapter may be of: PEFT 0.21 reads it as its own, too",
    ];
  },
  read(model, stored) {
    const { config, tensors } = stored;
    const rest = {
      r: config.r,
      oftBlockSize: config.oft_block_size,
      useCayleyNeumann: config.use_cayley_neumann,
      numCayleyNeumannTerms: Math.max(2, config.num_cayley_neumann_terms),
      coft: config.coft,
      eps: config.eps,
      blockShare: config.block_share,
      initWeights: config.init_weights,
      ...readWhole(model, stored),
    };
    return chosenBy(model, config, [...tensors.keys()], (choice) => oft({ ...rest, ...choice }));
  },
  write(adapter) {
    const { options } = adapter.method;
    return {
      ...writtenTargets(adapter, options),
      block_share: options.blockShare,
      coft: options.coft,
      eps: options.eps,
      fan_in_fan_out: adapter.sites.some(({ module }) => isLinear(module) && module.fanInFanOut),
      init_weights: options.initWeights,
      num_cayley_neumann_terms: options.numCayleyNeumannTerms,
      oft_block_size: options.oftBlockSize,
      r: options.r,
      use_cayley_neumann: options.useCayleyNeumann,
    };
  },
};

/** Layers whose inputs the wanted number does not divide, which PEFT warns of. */
function remarks({ method: { options }, sites }: Adapter<Oft>): string[] {
  const others = sites.filter(({ module }) => {
    const { blocks, size } = blocksAt((module as Linear).inFeatures, options);
    return options.r !== 0 ? blocks !== options.r : size !== options.oftBlockSize;
  });
  if (others.length === 0) return [];
  const what = options.r !== 0 ? `r ${options.r}` : `oft_block_size ${options.oftBlockSize}`;
  const paths = others.map(({ module }) => {
    const { blocks, size } = blocksAt((module as Linear).inFeatures, options);
    return `${module.path} (${blocks} blocks of ${size})`;
  });
  return [
    `${what} does not divide the inputs of some layers, which have the closest that does: ${listed(paths)}`,
  ];
}

const OPTIONS: MethodOptions<OftOptions> = {
  r: {
    sets: "r",
    value: { is: "whole", min: 0 },
    help: "blocks of each layer, in place of their size",
  },
  oft_block_size: {
    sets: "oftBlockSize",
    value: { is: "whole", min: 0 },
    help: "inputs of a block; by default 32",
  },
  use_cayley_neumann: {
    sets: "useCayleyNeumann",
    value: { is: "switch" },
    fallback: OFT_DEFAULTS.useCayleyNeumann,
    help: "rotations by a series that is cut off, instead of exact ones",
  },
  num_cayley_neumann_terms: {
    sets: "numCayleyNeumannTerms",
    value: { is: "whole", min: 2 },
    fallback: OFT_DEFAULTS.numCayleyNeumannTerms,
    help: "terms of that series",
  },
  coft: {
    sets: "coft",
    value: { is: "switch" },
    fallback: OFT_DEFAULTS.coft,
    help: "keep rotations within a distance of none",
  },
  eps: {
    sets: "eps",
    value: { is: "number", bounds: { above: 0, max: 1e6 } },
    fallback: OFT_DEFAULTS.eps,
    help: "that distance",
  },
  block_share: {
    sets: "blockShare",
    value: { is: "switch" },
    fallback: OFT_DEFAULTS.blockShare,
    help: "rotate all blocks of a layer alike",
  },
  init_weights: {
    sets: "initWeights",
    value: { is: "switch" },
    fallback: OFT_DEFAULTS.initWeights,
    help: "nothing is rotated at first",
  },
  ...targetOption("layers to adapt", OFT_DEFAULTS.targetModules),
  ...LAYER_OPTIONS,
  ...BESIDE_OPTIONS,
};

/** OFT in the registry. */
export const OFT: MethodKind<Oft, PeftOftConfig> = {
  type: "OFT",
  name: "oft",
  codec,
  options: OPTIONS,
  make: oft,
  becomesLora: true,
  remarks,
};
