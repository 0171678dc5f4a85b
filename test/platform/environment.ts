// What the platform tests share: the model, the built package, losses in Node to compare with.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, onTestFinished } from "vitest";
import * as library from "../../src/index.node.ts";
import { testDevice } from "../support/device.ts";
import { BUNDLED_MODEL } from "../support/fixtures.ts";
import { ROOT } from "../support/shaders.ts";
import { type TenSteps, tenSteps } from "./ten-steps.ts";

/** Most that a loss may differ between two implementations of WebGPU. */
const LOSS_TOLERANCE = 1e-4;

/** Milliseconds that a test may take which starts another program and compiles all shaders in it. */
export const PATIENCE = 300_000;

/** A folder that is removed after the test, or after the file's tests. */
export function temporaryFolder(lifetime: "test" | "file" = "test"): string {
  const folder = mkdtempSync(join(tmpdir(), "webgpu-lora-test-"));
  const end = lifetime === "test" ? onTestFinished : afterAll;
  end(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Builds the package into a folder of its own, so that tests and developers do not disturb each other. */
export function buildPackage(outdir: string): void {
  execFileSync(process.execPath, ["build.mjs", "--out", outdir], {
    cwd: ROOT,
    stdio: ["ignore", "inherit", "inherit"],
  });
}

/** The ten steps on the test device. */
export async function tenStepsInNode(): Promise<TenSteps> {
  return tenSteps(library, BUNDLED_MODEL, await testDevice());
}

/** What has to hold of the ten steps in every runtime. */
export function expectSameWork(found: TenSteps, inNode: TenSteps): void {
  expect(found.losses).toHaveLength(10);
  expect(lossDifference(inNode, found)).toBeLessThan(LOSS_TOLERANCE);
  const { before, trained, loaded } = found.said;
  expect(loaded).toEqual(trained);
  expect(trained).not.toEqual(before);
  expect(before).toEqual(inNode.said.before);
}

/** Largest difference between two runs' losses. */
function lossDifference(a: TenSteps, b: TenSteps): number {
  return Math.max(...a.losses.map((loss, step) => Math.abs(loss - (b.losses[step] as number))));
}
