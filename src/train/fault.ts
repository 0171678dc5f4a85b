import { readAndRelease, type Tensor } from "../gpu/tensor.ts";
import { gradientNorm } from "../kernels/gradient-norm.ts";
import type { Module } from "../nn/module.ts";
import type { Parameters } from "../nn/parameters.ts";
import { nonFinite } from "../util/finite.ts";
import type { Counted, Objective } from "./objective.ts";
import type { PassOptions } from "./pass.ts";

/** A step whose loss or gradient is not finite. */
export interface FaultyStep<B extends Counted> {
  readonly objective: Pick<Objective<never, B>, "device" | "loss">;
  readonly parameters: Parameters;
  /** As the step left them. */
  readonly gradients: ReadonlyMap<Tensor, Tensor>;
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
    const culprit = await firstBadOutput(step, batch, i);
    if (culprit !== undefined) return `in ${listed(step.rows[i] ?? [])} ${culprit}`;
  }
  return `in ${listed(step.rows.flat())} the forward pass is finite, and ${await firstBadGradient(step)}`;
}

/** The first layer whose output is not finite, in the order in which they are computed. */
async function firstBadOutput<B extends Counted>(
  { objective, batches, pass }: FaultyStep<B>,
  batch: B,
  index: number,
): Promise<string | undefined> {
  const { device } = objective;
  const terms = batches.reduce((sum, { terms }) => sum + terms, 0);
  const paths: string[] = [];
  const norms: Tensor[] = [];
  try {
    const read = await readAndRelease(device, () => {
      const watch = ({ path }: Module, output: Tensor) => {
        paths.push(path);
        norms.push(device.memory.persistent(() => gradientNorm(output)));
      };
      const context = { training: true, seed: pass.seed + index, watch };
      const loss = objective.loss(batch, context, 1 / terms);
      return [...norms, loss];
    });
    const first = read.findIndex((bytes) => nonFinite(new Uint8Array(bytes), "f32") !== undefined);
    if (first < 0) return undefined;
    return first < paths.length
      ? `the first output that is NaN or infinite is that of ${paths[first] || "the model"}`
      : "the outputs of all layers are finite, and the loss is not";
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
  const read = await readAndRelease(objective.device, () =>
    entries.map(({ tensor }) => gradients.get(tensor) as Tensor),
  );
  const last = read.findLastIndex((bytes) => nonFinite(new Uint8Array(bytes), "f32") !== undefined);
  if (last < 0) return "the gradients are too, but their norm is beyond the largest number";
  return `the first gradient that is NaN or infinite is that of ${entries[last]?.name}`;
}

/** Rows that a message names; the others are counted. */
const ROWS_SHOWN = 8;

function listed(rows: readonly string[]): string {
  const more = rows.length - ROWS_SHOWN;
  return rows.slice(0, ROWS_SHOWN).join(", ") + (more > 0 ? ` and ${more} more rows` : "");
}
