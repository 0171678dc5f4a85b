// Shaders that few devices or runs need: they are loaded with the first that does.
import type { Device } from "../gpu/device.ts";
import { late } from "../util/late.ts";

/** Kernels that pay on CPU rasterisers alone. */
export const RASTERISER_SHADERS = late(() => import("./rasteriser-shaders.ts"));

/** Loads what a device's kernels need and others do not. Kernels run on no device before that. */
export async function loadShaders({ profile }: Pick<Device, "profile">): Promise<void> {
  if (!profile.sharesWork) await RASTERISER_SHADERS.load();
}
