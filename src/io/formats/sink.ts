import type { Weight } from "../../kernels/weight.ts";

/** Where the values of a stored tensor go, a run of them at a time: into memory, or through a quantiser into it. */
export interface WeightSink {
  /** What is filled. */
  readonly weight: Weight;
  /** Values of all runs but the last are a multiple of this. */
  readonly unit: number;
  /**
   * @param values as stored
   * @param first number of the first of them in the tensor, row by row
   */
  write(values: Uint8Array, first: number): void;
  /** After the last run. */
  finish(): Promise<void>;
  /** In place of all runs, where nothing has content: frees what only they need. */
  skip(): void;
  /** Frees the memory, also of what was not finished. */
  release(): void;
}
