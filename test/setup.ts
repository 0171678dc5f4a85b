import { join } from "node:path";
import { afterAll, expect } from "vitest";
import { firstMismatches } from "./support/compare.ts";
import { closeTestDevices } from "./support/device.ts";

// What somebody measured or downloaded on this machine must not change what is tested, nor a test what is there.
process.env.WEBGPU_LORA_CACHE ??= join(import.meta.dirname, "../node_modules/.cache/webgpu-lora/tests");

afterAll(closeTestDevices);

expect.extend({
  /** Relative error against the reference's norm: max|got - want| / max(rms(want), tiny) within tolerance. */
  toBeClose(got: ArrayLike<number>, want: ArrayLike<number>, tolerance = 1e-5) {
    const report = firstMismatches(got, want, tolerance);
    return { pass: report.pass, message: () => report.message };
  },
});

declare module "vitest" {
  interface Assertion {
    toBeClose(want: ArrayLike<number>, tolerance?: number): void;
  }
}
