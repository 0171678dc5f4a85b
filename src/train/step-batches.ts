import type { DataPlace } from "../data/feed/feed.ts";
import type { BatchFeed } from "./collated.ts";

/** The micro-batches of an optimiser step. */
export interface StepBatches<B> {
  /** Pass over the data, from 0. */
  readonly epoch: number;
  readonly batches: readonly B[];
  /** Where the step after it begins. */
  readonly next: DataPlace;
  /** What messages call the rows of each. */
  names(): readonly (readonly string[])[];
}

/** The micro-batches of one optimiser step after another, from a place of the data on. */
export async function* stepBatches<B>(
  feed: BatchFeed<B>,
  { gradientAccumulationSteps }: { readonly gradientAccumulationSteps: number },
  from: DataPlace,
): AsyncGenerator<StepBatches<B>, never> {
  const batches = feed.batches(from);
  try {
    for (;;) {
      const micro = [(await batches.next()).value];
      while (micro.length < gradientAccumulationSteps && !micro.at(-1)?.isLast) {
        micro.push((await batches.next()).value);
      }
      const [{ epoch = 0 } = {}, { next = from } = {}] = [micro[0], micro.at(-1)];
      const names = () => micro.flatMap((fed) => fed.names());
      yield { epoch, batches: micro.flatMap(({ batches }) => batches), next, names };
    }
  } finally {
    await batches.return(undefined as never);
  }
}
