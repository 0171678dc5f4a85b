import { rmSync } from "node:fs";
import { resolve } from "node:path";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    /** The folder of what is built once for a run of the tests (test/support/build-once.ts). */
    builds: string;
  }
}

/**
 * Vitest calls it before the workers start: gives a run its folder for builds, which goes with the run. It lies below
 * node_modules, so that programs find the packages which stay outside their bundle.
 */
export function setup(project: TestProject): () => void {
  const folder = resolve(import.meta.dirname, `../node_modules/.cache/webgpu-lora/tests-${process.pid}`);
  const clear = () => rmSync(folder, { recursive: true, force: true });
  project.provide("builds", folder);
  project.onTestsRerun(clear); // the sources are others
  return clear;
}
