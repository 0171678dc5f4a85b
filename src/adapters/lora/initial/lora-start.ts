import type { Linear } from "../../../nn/linear.ts";
import { fail } from "../../../util/fail.ts";
import type { Random } from "../../../util/random.ts";
import type { TensorPlan, TensorPlans } from "../../method.ts";
import { kaimingUniform } from "./kaiming.ts";
import { randomOrthogonal } from "./orthogonal.ts";

/** How lora_A and lora_B begin; PEFT's words for `init_lora_weights`, of which true is the usual one. */
export type LoraStart =
  | true
  | "gaussian"
  | "orthogonal"
  | "pissa"
  | `pissa_niter_${number}`
  | "olora"
  | "loftq"
  | "eva";

/** All of them, in words. */
export const LORA_STARTS = "true, gaussian, orthogonal, pissa, pissa_niter_N, olora, loftq or eva";

/** The values of lora_A and lora_B of one layer. */
export interface Factors {
  readonly A: Float32Array;
  readonly B: Float32Array;
}

/** Sizes of a layer, and the rank. */
export interface LoraSizes {
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly r: number;
}

/** Sizes of a layer with the rank that a method gives it. */
export function sizesOf(
  { inFeatures, outFeatures, path }: Linear,
  rankOf: (path: string) => { readonly r: number },
): LoraSizes {
  return { inFeatures, outFeatures, r: rankOf(path).r };
}

/** Whether what somebody wrote is one of them. */
export function isLoraStart(value: unknown): value is LoraStart {
  const words: unknown[] = [true, "gaussian", "orthogonal", "pissa", "olora", "loftq", "eva"];
  return words.includes(value) || passesOf(value) !== undefined;
}

/** N of `pissa_niter_N`. */
export function passesOf(start: unknown): number | undefined {
  const [, digits] = (typeof start === "string" && /^pissa_niter_(\d{1,3})$/.exec(start)) || [];
  return digits === undefined ? undefined : Number(digits);
}

/** Whether the branch begins as a part of the weight, which is then taken out of it. */
export function takesFromWeight(start: LoraStart): boolean {
  return start !== true && !["gaussian", "orthogonal", "loftq", "eva"].includes(start);
}

/** Whether it has to be computed from the weights, or from what goes through them, before it is attached. */
export function readsWeights(start: LoraStart): boolean {
  return takesFromWeight(start) || start === "loftq" || start === "eva";
}

/**
 * The tensors of a layer: lora_A and lora_B, and, where the branch takes its beginning out of the weight, that beginning,
 * which stays: y = W x + s · B A x − s · B₀ A₀ x. PEFT changes the weight instead; so it stays as it is, for other adapters,
 * in whatever format it is.
 * @param begun the values of a start that takes from the weight
 */
export function loraPlans(start: LoraStart, sizes: LoraSizes, begun: Factors | undefined): TensorPlans {
  const { inFeatures, outFeatures, r } = sizes;
  const [A, B] = [[r, inFeatures] as const, [outFeatures, r] as const];
  // B begins as zeros, so that training starts at the base model.
  if (start === true) return { lora_A: kaimingUniform(A), lora_B: { shape: B } };
  if (start === "gaussian") return { lora_A: gaussian(A), lora_B: { shape: B } };
  if (start === "orthogonal") {
    let made: Factors | undefined; // both from one draw
    const factors = (random: Random) => {
      made ??= randomOrthogonal(sizes, r, random);
      return made;
    };
    return {
      lora_A: { shape: A, begin: (random) => factors(random).A },
      lora_B: { shape: B, begin: (random) => factors(random).B },
    };
  }
  const values = () =>
    begun ??
    fail(
      "lora",
      `${start} begins from the layers' weights, which must be read first`,
      "attach what startLora gives",
    );
  if (start === "eva") return { lora_A: { shape: A, begin: () => values().A }, lora_B: { shape: B } };
  const tensors = (prefix: string, trained: boolean): TensorPlans => ({
    [`${prefix}_A`]: { shape: A, trained, begin: () => values().A },
    [`${prefix}_B`]: { shape: B, trained, begin: () => values().B },
  });
  return { ...tensors("lora", true), ...(start === "loftq" ? {} : tensors("initial", false)) };
}

/** N(0, 1/r²). */
function gaussian(shape: readonly [rows: number, columns: number]): TensorPlan {
  const [rows, columns] = shape;
  return {
    shape,
    begin: (random) => Float32Array.from({ length: rows * columns }, () => random.normal() / rows),
  };
}
