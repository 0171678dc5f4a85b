import shader from "../../shaders/rank-allocation.wgsl";
import { empty, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { reductionSize, runElements } from "./launch.ts";

// AdaLoRA's allocation of ranks: Zhang et al. 2023, arXiv 2303.10512, §3.2 and 3.3; as in PEFT `tuners/adalora/layer.py`.
// A step that was skipped (outcome[1] is 0) changes nothing.

/** How much each parameter matters, averaged over the steps: flat tensors of one size. */
export interface Importance {
  /** Running mean of |p · gradient|. */
  readonly sensitivity: Tensor;
  /** Running mean of how far that is from its mean. */
  readonly uncertainty: Tensor;
}

/** An update behind which the averages go on. */
export interface ImportanceUpdate {
  /** `[n]` f32: as they are after the update. */
  readonly parameters: Tensor;
  /** `[n]` f32: of the summed loss. */
  readonly gradients: Tensor;
  /** `[2]`: what the gradients were multiplied by is the second. */
  readonly outcome: Tensor;
  /** Shares of the averages that stay. */
  readonly beta1: number;
  readonly beta2: number;
}

/** Goes on with the averages by an optimiser step. */
export function updateImportance(
  { sensitivity, uncertainty }: Importance,
  { parameters, gradients, outcome, beta1, beta2 }: ImportanceUpdate,
): void {
  for (const { size } of [gradients, sensitivity, uncertainty])
    if (size !== parameters.size)
      fail("updateImportance", `${parameters.size} parameters, but a tensor of ${size}`);
  runElements(parameters.device, shader, "importance", {
    bind: { p: parameters, gradient: gradients, sensitivity, uncertainty },
    whole: { outcome },
    params: ({ count }) => ({ ...NO_SITE, count, beta1, beta2 }),
  });
}

const NO_SITE = { inputs: 0, outputs: 0, rank: 0, a: 0, b: 0, e: 0, first: 0, dropped: 0 };

/** A site's triplets (Eᵢ, a row of A `[rank, inputs]`, a column of B `[outputs, rank]`). */
export interface Triplets {
  readonly rank: number;
  readonly inputs: number;
  readonly outputs: number;
  /** Where A, B and E begin in the site's part of the averages. */
  readonly a: number;
  readonly b: number;
  readonly e: number;
}

/**
 * Writes the scores of a site's triplets: S(Eᵢ) and the means of S over the row of A and the column of B, S = sensitivity ·
 * uncertainty.
 * @param of the site's part of the averages
 * @param scores `[all triplets]`; the site's begin at `first`
 */
export function scoreTriplets(of: Importance, triplets: Triplets, scores: Tensor, first: number): void {
  const { device } = scores;
  const { rank, inputs, outputs } = triplets;
  device.run(shader, "score", {
    bind: { site_sensitivity: of.sensitivity, site_uncertainty: of.uncertainty, scores_out: scores },
    params: { count: 0, beta1: 0, beta2: 0, dropped: 0, ...triplets, first },
    constants: { elem: "f32", WG: reductionSize(device, inputs + outputs) },
    grid: [rank],
  });
}

/** Scores by which triplets are masked. */
export interface Choice {
  /** `[all triplets]` */
  readonly scores: Tensor;
  /** Where the site's begin. */
  readonly first: number;
  /** How many of all are masked: those with the lowest scores, and with them whose score is that of the last. */
  readonly dropped: number;
}

/** A site's mask: what is kept, and the values that are set to 0 where it is not. */
export interface Masked {
  /** `[rank]` f32: 1 or 0 */
  readonly kept: Tensor;
  /** `[rank, 1]` f32 */
  readonly values: Tensor;
  /** `[2]`: of the optimiser step. */
  readonly outcome: Tensor;
}

/** Sets the values of masked triplets to 0, those of a new choice or those that were masked before. */
export function maskTriplets({ kept, values, outcome }: Masked, choice?: Choice): void {
  const { device, size: rank } = kept;
  if (values.size !== rank) fail("maskTriplets", `${rank} triplets, and ${values.size} values`);
  const { scores = empty(device, [1]), first = 0, dropped = 0 } = choice ?? {};
  device.run(shader, "choose", {
    bind: { scores, kept, values, outcome },
    params: { ...NO_SITE, count: scores.size, beta1: 0, beta2: 0, rank, first, dropped },
    constants: { elem: "f32", WG: 64, CHOOSE: choice !== undefined },
    grid: [Math.ceil(rank / 64)],
    changing: true, // the budget of a step
  });
}
