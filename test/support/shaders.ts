import { readdirSync } from "node:fs";
import { resolve } from "node:path";
import type { WgslModule } from "../../src/gpu/wgsl.ts";

/** The repository. */
export const ROOT = resolve(import.meta.dirname, "../..");

/** Optional features that a shader names in an `enable` directive, as WebGPU calls them. */
export function featuresOf({ code }: WgslModule): GPUFeatureName[] {
  const names = [...code.matchAll(/^enable (.+);/gm)].flatMap(([, list]) => (list as string).split(/,\s*/));
  return names.map((name) => (name === "f16" ? "shader-f16" : name.replaceAll("_", "-")) as GPUFeatureName);
}

/** All shader files as the build sees them. */
export async function allShaders(): Promise<WgslModule[]> {
  const files = readdirSync(resolve(ROOT, "shaders")).filter((file) => file.endsWith(".wgsl"));
  return Promise.all(files.map(async (file) => (await import(resolve(ROOT, "shaders", file))).default));
}
