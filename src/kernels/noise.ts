import shader from "../../shaders/noise.wgsl";
import { empty, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { runElements } from "./launch.ts";

/** Which noise is added. */
export interface NoiseOptions {
  /** It is uniform in [−magnitude, magnitude). */
  magnitude: number;
  /** 32 bits that determine it. */
  seed: number;
}

/** x with uniform noise added to every element, each drawn for itself. f32. */
export function addNoise(x: Tensor, { magnitude, seed }: NoiseOptions): Tensor {
  if (!(magnitude >= 0 && Number.isFinite(magnitude)))
    fail("noise", `magnitude is ${magnitude}, expected a number of at least 0`);
  const y = empty(x.device, x.shape);
  const single = x.size % 4 !== 0;
  runElements(x.device, shader, "forward", {
    bind: { x, y },
    changing: true, // the seed
    ...(single && { unit: 1 }),
    params: ({ count, width }, start) => ({ count, width, start, seed, magnitude }),
    constants: single ? { words: "u32", LANES: "0u" } : {},
  });
  return y;
}
