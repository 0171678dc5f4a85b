import { late } from "../util/late.ts";

/** Rounds what a tape keeps in 8 bits: loaded by whoever trains so, before the first step. */
export const ROUNDING = late(() => import("./round.ts"));

/** Loads what `new Tape({ activationBits: 8 })` rounds by; `train` with that option does so by itself. */
export async function loadRounding(): Promise<void> {
  await ROUNDING.load();
}
