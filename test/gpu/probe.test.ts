import { expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { probeMemory } from "../../src/gpu/probe.ts";

/** A device that has so many bytes, and counts what nobody gave back. */
function deviceWith(bytes: number) {
  let used = 0;
  let failed = false;
  const gpu = {
    limits: { maxBufferSize: 1024 },
    queue: { submit() {}, onSubmittedWorkDone: async () => {} },
    pushErrorScope() {},
    popErrorScope: async () => (failed ? { message: "no more" } : null),
    createBuffer({ size }: { size: number }) {
      used += size;
      failed = used > bytes;
      return { destroy: () => (used -= size) };
    },
    createCommandEncoder: () => ({ clearBuffer() {}, finish: () => ({}) }),
  };
  return { device: { gpu } as unknown as Device, used: () => used };
}

test.each([true, false])(
  "asks for as much as is wanted or there, and gives it back; touching: %s",
  async (touch) => {
    const { device, used } = deviceWith(10_000);
    expect(await probeMemory(device, 3000, touch)).toBe(3000);
    expect(used()).toBe(0);
    expect(await probeMemory(device, 20_000, touch)).toBe(9216);
    expect(used()).toBe(0);
  },
);
