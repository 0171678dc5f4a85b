// Products of few rows on CPU rasterisers, whose kernels are loaded with the device.
import type { Device } from "../gpu/device.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { late } from "../util/late.ts";

/** Most rows of x. */
const MOST_ROWS = 8;

const PANELS = late(() => import("./matvec-panels.ts"));

/** Loads the kernels where {@link readsPanels}. */
export const loadPanels = PANELS.load;

/** Whether a device reads weights faster out of textures: CPU rasterisers, whose lanes load from buffers one after the other. */
function readsPanels({ info, profile }: Device): boolean {
  const { readsTexels = false, subgroupSize } = info;
  return readsTexels && !profile.sharesWork && subgroupSize >= 4 && subgroupSize <= 16;
}

/** The kernels, where they can be asked for a product of x. */
export function panelProducts({ device, rows, dtype }: Tensor) {
  return rows <= MOST_ROWS && dtype === "f32" && readsPanels(device) ? PANELS.loaded() : undefined;
}
