import { bounded, cayley, rotated, rotatedWeight } from "../../autograd/rotation.ts";
import type { Tape } from "../../autograd/tape.ts";
import type { Tensor } from "../../gpu/tensor.ts";
import { projectBlocks, skewElements } from "../../kernels/block-rotation.ts";
import { castToFloat } from "../../kernels/cast.ts";
import { isLinear, type Linear } from "../../nn/linear.ts";
import { fail, failAll } from "../../util/fail.ts";
import { checkOptions, flag, integer, number, type Rules, withDefaults } from "../../util/options.ts";
import { normal } from "../lora/initial/normal.ts";
import type { Method, Site } from "../method.ts";
import { findSites, withoutConv1d } from "../sites/choose-sites.ts";
import { SITE_RULES } from "../sites/site-rules.ts";
import type { TargetOptions } from "../sites/targets.ts";
import { findWhole, type WholeOptions } from "../trained-whole.ts";

/** Options of OFT; names and meaning as in PEFT's OFTConfig, in camel case. */
export interface OftOptions extends Omit<TargetOptions, "isOutput">, WholeOptions {
  /** Blocks of each layer, in place of their size; 0 unless given. */
  r?: number;
  /** Inputs of a block; 32 unless given, and 0 where `r` is given. What does not divide a layer's inputs gives way to what is closest. */
  oftBlockSize?: number;
  /** The rotation is a series that is cut off instead of an exact one; true unless given. */
  useCayleyNeumann?: boolean;
  /** Terms of that series; 5 unless given. */
  numCayleyNeumannTerms?: number;
  /** Rotations stay within a distance of none (COFT); false unless given. */
  coft?: boolean;
  /** That distance; 6e-5 unless given. */
  eps?: number;
  /** All blocks of a layer are rotated alike; false unless given. */
  blockShare?: boolean;
  /** Nothing is rotated at first; true unless given. */
  initWeights?: boolean;
  /** Names or suffixes of linear layers, a full-match regular expression, or `all-linear`, which is the default. */
  targetModules?: readonly string[] | string;
}

/** What holds where nothing is said: PEFT's values, but every linear layer, as for LoRA. */
export const OFT_DEFAULTS = {
  r: 0,
  oftBlockSize: 32,
  useCayleyNeumann: true,
  numCayleyNeumannTerms: 5,
  coft: false,
  eps: 6e-5,
  blockShare: false,
  initWeights: true,
  targetModules: "all-linear",
} satisfies OftOptions;

const RULES: Rules<OftOptions> = {
  r: integer({ min: 0 }),
  oftBlockSize: integer({ min: 0, max: 1024 }, "oft_block_size", "blockSize"),
  useCayleyNeumann: flag("use_cayley_neumann"),
  numCayleyNeumannTerms: integer({ min: 2, max: 64 }, "num_cayley_neumann_terms"),
  coft: flag(),
  eps: number({ above: 0, max: 1e6 }),
  blockShare: flag("block_share"),
  initWeights: flag("init_weights"),
  ...SITE_RULES,
};

/** OFT with all options settled. */
export interface Oft extends Method {
  /** PEFT's `peft_type`. */
  readonly type: "OFT";
  /** As given, with the defaults filled in. */
  readonly options: OftOptions & Required<Pick<OftOptions, keyof typeof OFT_DEFAULTS>>;
}

/**
 * Orthogonal fine-tuning: y = W (x R) + b with a rotation R in blocks along the diagonal, by Cayley's transform of skew-symmetric
 * matrices Q, oft_R `[blocks, size (size − 1) / 2]`. Qiu et al. 2023, arXiv 2306.07280; rotating inputs and the series are of OFTv2,
 * arXiv 2506.19847; as in PEFT `tuners/oft/layer.py`.
 * @throws LoraError for an option that there is not or a value that is not wanted
 */
export function oft(given: OftOptions = {}): Oft {
  checkOptions("oft", given, RULES);
  const chosen = withDefaults(OFT_DEFAULTS, given);
  const options = given.r && given.oftBlockSize === undefined ? { ...chosen, oftBlockSize: 0 } : chosen;
  const { r, oftBlockSize, useCayleyNeumann, eps, blockShare } = options;
  const [coft, initWeights]: boolean[] = [options.coft, options.initWeights];
  failAll(
    "oft",
    (r === 0) === (oftBlockSize === 0) ? [`r is ${r} and oftBlockSize ${oftBlockSize}`] : [],
    "give one of them: r times the size is a layer's number of inputs",
  );
  const terms = useCayleyNeumann ? options.numCayleyNeumannTerms : undefined;
  const boundOf = (v: Tensor) => eps / Math.sqrt(v.rows);
  const blocksOf = (tape: Tape | undefined, v: Tensor) =>
    cayley(tape, coft ? bounded(tape, v, boundOf(v)) : v, terms);
  return {
    type: "OFT",
    options,
    sites: (model) => withoutConv1d("oft", findSites("oft", model, options, isLinear), "lora"),
    saved: (model) => findWhole(model, options),
    tensors(site) {
      const { blocks, size } = blocksAt((site as Linear).inFeatures, options);
      const shape = [blockShare ? 1 : blocks, skewElements(size)] as const;
      return { oft_R: { shape, ...(!initWeights && { begin: normal(shape[0] * shape[1], 0.1) }) } };
    },
    wrap(site) {
      const v = vectorsOf(site);
      return (x, context, next) => next(rotated(context.tape, x, blocksOf(context.tape, v), terms), context);
    },
    merge: (site) => ({
      weight: () =>
        rotatedWeight(
          castToFloat((site.module as Linear).weight),
          blocksOf(undefined, vectorsOf(site)),
          terms,
        ),
    }),
    ...(coft && {
      afterStep: ({ sites }, { outcome }) => {
        for (const site of sites) projectBlocks(vectorsOf(site), boundOf(vectorsOf(site)), outcome);
      },
    }),
  };
}

/** How many blocks a layer of so many inputs has, and of which size: what does not divide them gives way, as in PEFT. */
export function blocksAt(
  inputs: number,
  { r, oftBlockSize }: Pick<Oft["options"], "r" | "oftBlockSize">,
): { blocks: number; size: number } {
  if (r !== 0) {
    const blocks = nearestDivisor(inputs, r);
    return { blocks, size: inputs / blocks };
  }
  const size = nearestDivisor(inputs, oftBlockSize);
  return { blocks: inputs / size, size };
}

/** PEFT's `adjust_oft_parameters`: the smaller of two that are as close. */
function nearestDivisor(of: number, wanted: number): number {
  if (wanted >= of) return of;
  let [above, below] = [wanted, wanted];
  while (of % above !== 0) above++;
  while (of % below !== 0) below--;
  return wanted - below <= above - wanted ? below : above;
}

function vectorsOf({ module, tensors: { oft_R } }: Site): Tensor {
  return oft_R ?? fail(module.path, "oft_R is missing");
}
