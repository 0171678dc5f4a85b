// Shaders that few devices or runs need: they are loaded with the first that does.
import type { Device } from "../gpu/device.ts";
import { late } from "../util/late.ts";

/** Kernels that pay on CPU rasterisers alone. */
export const RASTERISER_SHADERS = late(() => import("./rasteriser-shaders.ts"));

/** Rounds what a tape keeps in 8 bits: loaded by whoever trains so, before the first step. */
export const ROUNDING = late(() => import("./round.ts"));

/** Loads what `new Tape({ activationBits: 8 })` rounds by; `train` with that option does so by itself. */
export async function loadRounding(): Promise<void> {
  await ROUNDING.load();
}

/** Loads what a device's kernels need and others do not. Kernels run on no device before that. */
export async function loadShaders({ profile }: Pick<Device, "profile">): Promise<void> {
  if (!profile.sharesWork) await RASTERISER_SHADERS.load();
}
