import shader from "../../shaders/dropout.wgsl";
import { emptyLike, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { runElements } from "./launch.ts";

/** Which elements are dropped. */
export interface DropoutOptions {
  /** Probability of dropping an element, in [0, 1). */
  p: number;
  /** 32 bits that determine the mask; different for each layer and step. */
  seed: number;
}

/**
 * y = x / (1 − p) where kept, 0 where dropped, added to `into` where given. f32.
 * Nothing is stored: the backward pass is the same call on dy with the same seed.
 */
export function dropout(x: Tensor, { p, seed }: DropoutOptions, into?: Tensor): Tensor {
  if (!(p >= 0 && p < 1)) fail("dropout", `p is ${p}, expected 0 ≤ p < 1`);
  const y = into ?? emptyLike(x);
  const rest = { seed, threshold: Math.floor(p * 2 ** 32), factor: 1 / (1 - p) };
  const single = x.size % 4 !== 0;
  runElements(x.device, shader, "forward", {
    bind: { x, y },
    changing: true, // the seed
    ...(single && { unit: 1 }),
    params: ({ count, width }, start) => ({ count, width, start, ...rest }),
    constants: { ...(single && { words: "u32", LANES: "0u" }), ACCUMULATE: into !== undefined },
  });
  return y;
}
