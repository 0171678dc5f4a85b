import { cast } from "../autograd/ops.ts";
import { readAndRelease, type Tensor } from "../gpu/tensor.ts";
import { gradientNorm } from "../kernels/gradient-norm.ts";
import type { Context, Module } from "../nn/module.ts";
import type { Parameters } from "../nn/parameters.ts";
import { fail } from "../util/fail.ts";
import { nonFinite } from "../util/finite.ts";
import { firstOf } from "../util/group-lines.ts";
import type { Counted, Objective } from "./objective.ts";
import type { PassOptions } from "./pass.ts";
import { DAMAGED } from "./sample.ts";

/** A step whose loss or gradient is not finite. */
export interface FaultyStep<B extends Counted> {
  readonly objective: Forward<B>;
  readonly parameters: Parameters;
  /** Computes them again: a step behind it may have written over them. */
  gradients(): ReadonlyMap<Tensor, Tensor>;
  readonly batches: readonly B[];
  /** What the rows of each batch are called. */
  readonly rows: readonly (readonly string[])[];
  /** As in the step, so that dropout is the same. */
  readonly pass: PassOptions;
}

/**
 * Where a step's numbers went bad, as a sentence: the rows, and the first layer whose output holds NaN or infinity.
 * Each batch passes forward again for that, until one is found; where all of them are finite, it is a gradient.
 */
export async function findFault<B extends Counted>(step: FaultyStep<B>): Promise<string> {
  for (const [i, batch] of step.batches.entries()) {
    const { seed, embeddingNoise, precision } = step.pass;
    const context = { training: true, seed: seed + i, embeddingNoise };
    const culprit = await badOutput(step.objective, batch, { ...context, precision });
    if (culprit === undefined) continue;
    const isRange = precision === "mixed" && (await badOutput(step.objective, batch, context)) === undefined;
    return `in ${firstOf(step.rows[i] ?? [], ROWS_SHOWN)} ${culprit}${isRange ? BEYOND_F16 : ""}`;
  }
  return `in ${firstOf(step.rows.flat(), ROWS_SHOWN)} the forward pass is finite, and ${await firstBadGradient(step)}`;
}

/**
 * Refuses the loss of a batch that is evaluated.
 * @throws LoraError in any case
 */
export async function failLoss<B extends Counted>(
  objective: Forward<B>,
  batch: B,
  loss: number,
  rows: readonly string[],
): Promise<never> {
  const culprit = await badOutput(objective, batch, { training: false, seed: 0 });
  const where = culprit ?? "another try is finite: does the device compute right?";
  return fail("evaluate", `the loss is ${loss}: in ${firstOf(rows, ROWS_SHOWN)} ${where}`, DAMAGED);
}

/** What computes the loss of a batch. */
type Forward<B extends Counted> = Pick<Objective<never, B>, "device" | "loss">;

/** The first layer whose output is not finite, in the order in which they are computed, as a part of a sentence. */
export async function badOutput<B extends Counted>(
  { device, loss: lossOf }: Forward<B>,
  batch: B,
  context: Pick<Context, "training" | "seed" | "embeddingNoise" | "precision">,
): Promise<string | undefined> {
  const paths: string[] = [];
  const norms: Tensor[] = [];
  try {
    const read = await readAndRelease(device, () => {
      const watch = ({ path }: Module, output: Tensor) => {
        paths.push(path);
        norms.push(device.memory.persistent(() => gradientNorm(cast(undefined, output, "f32"))));
      };
      return [lossOf(batch, { ...context, watch }), ...norms];
    });
    const [isLossBad, ...areBad] = read.map((bytes) => nonFinite(new Uint8Array(bytes), "f32") !== undefined);
    const first = areBad.indexOf(true);
    if (first >= 0)
      return `the first output that is NaN or infinite is that of ${paths[first] || "the model"}`;
    return isLossBad ? "the outputs of all layers are finite, and the loss is not" : undefined;
  } finally {
    for (const { storage } of norms) device.memory.release(storage);
  }
}

/** The backward pass goes from the last layer to the first, so that the last bad gradient was the first. */
async function firstBadGradient<B extends Counted>({
  objective,
  parameters,
  gradients,
}: FaultyStep<B>): Promise<string> {
  const { entries } = parameters;
  const read = await readAndRelease(objective.device, () => {
    const computed = gradients();
    return entries.map(({ tensor }) => computed.get(tensor) as Tensor);
  });
  const last = read.findLastIndex((bytes) => nonFinite(new Uint8Array(bytes), "f32") !== undefined);
  if (last < 0) return "the gradients are too, but their norm is beyond the largest number";
  return `the first gradient that is NaN or infinite is that of ${entries[last]?.name}`;
}

/** What mixed precision alone does not hold. */
const BEYOND_F16 = "; in f32 all are finite, and f16 ends at 65 504: train without mixed precision";

/** Rows that a message names; the others are counted. */
const ROWS_SHOWN = 8;
