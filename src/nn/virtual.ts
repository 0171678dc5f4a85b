import type { Tape } from "../autograd/tape.ts";
import type { Tensor } from "../gpu/tensor.ts";

/** Trained tokens that stand before the first one of every document and take positions as others do. */
export interface VirtualTokens {
  /** How many there are. */
  readonly count: number;
  /** Their keys are rotated as those of other tokens are. */
  readonly isRotated: boolean;
  /** What they are in a pass. */
  compute(tape: Tape | undefined): VirtualValues;
}

/** What virtual tokens bring in place of what the model would compute of tokens there. */
export interface VirtualValues {
  /** `[count, d]`, in place of the embeddings of words; zeros unless given. */
  readonly embeddings?: Tensor;
  /**
   * `[count, layers · 2 · Hkv · D]`: the keys, as attention sees them after any rotation, and the values of layer 0, those
   * of layer 1 and so on; the model's own unless given.
   */
  readonly keysAndValues?: Tensor;
}

/** Virtual tokens among those of a pass over `[B, T]`. */
export interface PlacedTokens extends VirtualValues {
  /** u32 `[B, T]`: the number of each virtual token, and `count` at the others. */
  readonly ids: Tensor;
  /** u32: the rows of the others among the B · T, in order; absent where there are none. */
  readonly others?: Tensor;
}
