import type { Random } from "../../../util/random.ts";

/** What makes values of N(0, deviation²). */
export const normal =
  (count: number, deviation: number) =>
  (random: Random): Float32Array =>
    Float32Array.from({ length: count }, () => deviation * random.normal());
