import { empty, Tensor } from "../../gpu/tensor.ts";
import {
  type Importance,
  maskTriplets,
  scoreTriplets,
  type Triplets,
  updateImportance,
} from "../../kernels/rank-allocation.ts";
import type { FinishedStep } from "../../nn/parameters.ts";
import { fail } from "../../util/fail.ts";
import type { AdapterTensors, Site } from "../method.ts";
import { type BudgetPlan, budgetAt } from "./rank-budget.ts";
import { noteRunLength } from "./run-length.ts";

/** What ranks are cut down by. */
export interface AllocatorOptions extends Omit<BudgetPlan, "initial" | "target" | "totalStep"> {
  readonly targetR: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly totalStep?: number | undefined;
}

/**
 * AdaLoRA's part of an optimiser step: the averages of sensitivity and uncertainty go on, and where the plan says so, the
 * singular values with the lowest scores are masked. All of it on the device.
 * @throws LoraError where the run is too short for the plan
 */
export function allocateRanks(
  parts: AdapterTensors,
  { step, totalSteps, gradients, outcome }: FinishedStep,
  options: AllocatorOptions,
): void {
  const { sites, shared } = parts;
  const totalStep = options.totalStep ?? totalSteps;
  noteRunLength(sites, totalStep);
  const { tinit, tfinal, targetR, beta1, beta2 } = options;
  if (tinit >= totalStep - tfinal) {
    const got = `a run of ${totalStep} steps has none between tinit, ${tinit}, and tfinal, ${tfinal}, to cut ranks down in`;
    fail("adalora", got, "train longer, or lower tinit or tfinal");
  }
  const ranks = sites.map(({ tensors }) => tensors.kept?.size ?? 0);
  const initial = ranks.reduce((sum, rank) => sum + rank, 0);
  const target = targetR * sites.length;
  const { averages, dropped, masksAgain } = budgetAt(step, { ...options, initial, target, totalStep });
  const importance = importanceOf(shared);
  const [first] = sites;
  const start = first?.tensors.lora_A as Tensor;
  if (averages) {
    const { size } = importance.sensitivity;
    updateImportance(importance, {
      parameters: spanFrom(start, size),
      gradients: spanFrom(gradients.get(start) as Tensor, size),
      ...{ outcome, beta1, beta2 },
    });
  }
  if (dropped === undefined) {
    if (masksAgain) for (const site of sites) maskTriplets({ ...maskOf(site), outcome });
    return;
  }
  const scores = empty(start.device, [initial]);
  const places = ranks.map((_, i) => ranks.slice(0, i).reduce((sum, rank) => sum + rank, 0));
  for (const [i, site] of sites.entries()) {
    const { averages, triplets } = partOf(site, importance, start);
    scoreTriplets(averages, triplets, scores, places[i] as number);
  }
  for (const [i, site] of sites.entries())
    maskTriplets({ ...maskOf(site), outcome }, { scores, first: places[i] as number, dropped });
}

function importanceOf({ sensitivity, uncertainty }: AdapterTensors["shared"]): Importance {
  if (!sensitivity || !uncertainty) return fail("adalora", "the averages of importance are missing");
  return { sensitivity, uncertainty };
}

function maskOf({ module, tensors: { kept, lora_E: values } }: Site): { kept: Tensor; values: Tensor } {
  if (!kept || !values) return fail(module.path, "kept or lora_E is missing");
  return { kept, values };
}

/** `size` elements from the beginning of a tensor on: the tensors of the sites lie one after another in one buffer. */
function spanFrom({ device, storage, byteOffset }: Tensor, size: number): Tensor {
  return new Tensor(device, storage, [size], "f32", byteOffset);
}

/** A site's part of the averages, and where its tensors lie in it. */
function partOf(
  { module, tensors }: Site,
  { sensitivity, uncertainty }: Importance,
  start: Tensor,
): { averages: Importance; triplets: Triplets } {
  const { lora_A: A, lora_B: B, lora_E: E } = tensors;
  if (!A || !B || !E) return fail(module.path, "lora_A, lora_B or lora_E is missing");
  const at = (tensor: Tensor) => (tensor.byteOffset - start.byteOffset) / 4;
  const [from, to] = [at(A), at(E) + E.size];
  const part = (all: Tensor) => all.slice(from, to);
  return {
    averages: { sensitivity: part(sensitivity), uncertainty: part(uncertainty) },
    triplets: {
      ...{ rank: E.size, inputs: A.columns, outputs: B.rows },
      ...{ a: 0, b: at(B) - from, e: at(E) - from },
    },
  };
}
