// Shaders that few devices or runs need: they are loaded with the first that does.
import { late } from "../util/late.ts";

/** Kernels that pay on CPU rasterisers alone. */
export const RASTERISER_SHADERS = late(() => import("./rasteriser-shaders.ts"));
