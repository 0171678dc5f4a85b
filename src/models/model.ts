import type { HeadOptions } from "../autograd/loss.ts";
import type { Tape } from "../autograd/tape.ts";
import type { Device } from "../gpu/device.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { KvCache } from "../nn/cache.ts";
import type { Context, Module } from "../nn/module.ts";

/** A decoder-only language model: what training and generation need of any architecture. */
export interface LanguageModel {
  readonly device: Device;
  readonly root: Module;
  /** Sizes that callers need. */
  readonly config: { vocabSize: number; maxPositions: number; hiddenSize: number; numLayers: number };
  /** Linear layers that adapters target where the user names none. */
  readonly defaultTargets: readonly string[];
  /** The output layer shares the embedding's matrix. */
  readonly tied: boolean;
  /** `[V, hidden]`: the matrix of the output layer. */
  readonly head: Tensor;
  /** What the output layer does to its product with the hidden states. */
  readonly headOptions?: HeadOptions;
  /** ids i32 `[B, T]` → final hidden states `[B, T, hidden]`, normalised, before the output layer. */
  hidden(ids: Tensor, context: Context): Tensor;
  /** Hidden states `[..., hidden]` → logits `[..., V]`. */
  logits(hidden: Tensor, tape?: Tape): Tensor;
  /** A cache for generating one sequence of at most `capacity` tokens. */
  newCache(capacity: number): KvCache;
  /**
   * Whether keys cached when the sequence had `past` tokens are right for one of `length` tokens; always, unless given.
   * Where they are not, the whole sequence has to pass again.
   */
  keepsCache?(past: number, length: number): boolean;
  /** Frees the model's GPU memory; it must not be used afterwards. */
  release(): void;
}
