import type { HfConfig } from "../models/config-reader.ts";
import { fail } from "../util/fail.ts";
import { type Bounds, inWords, isWithin } from "../util/options.ts";
import { shown } from "../util/shown.ts";

const RANGE: Bounds = { min: 0, max: 1e6 };

/** Standard deviation of freshly initialised matrices. */
export function initializerRange({ initializer_range: given, init_std: std }: HfConfig): number {
  const range = given ?? std ?? 0.02;
  if (isWithin(range, RANGE)) return range as number;
  const got = `${given === undefined ? "init_std" : "initializer_range"} is ${shown(range)}`;
  return fail("config.json", `${got}, expected a number${inWords(RANGE)}`, "correct the field");
}
