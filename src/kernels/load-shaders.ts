import type { Device } from "../gpu/device.ts";
import { loadPanels } from "./few-rows.ts";
import { loadTexels } from "./large-products.ts";
import { RASTERISER_SHADERS } from "./late-shaders.ts";

/** Loads what a device's kernels need and others do not. Kernels run on no device before that. */
export async function loadShaders({ profile }: Pick<Device, "profile">): Promise<void> {
  if (!profile.sharesWork) await Promise.all([RASTERISER_SHADERS.load(), loadPanels(), loadTexels()]);
}
