import { describe, expect, test } from "vitest";
import { Memory, sizeClass } from "../../src/gpu/memory.ts";
import { LoraError } from "../../src/util/fail.ts";

/** A device that hands out fake buffers; `error` is what its error scopes report. */
function fakeGpu(error: { message: string } | null = null, maxBufferSize = 2 ** 30): GPUDevice {
  return {
    limits: { maxBufferSize },
    queue: { onSubmittedWorkDone: async () => {} },
    pushErrorScope() {},
    popErrorScope: async () => error,
    createBuffer: ({ size }: GPUBufferDescriptor) => ({ size, destroy() {} }),
  } as unknown as GPUDevice;
}

describe("sizeClass", () => {
  test("wastes at most an eighth and keeps the binding alignment", () => {
    for (const bytes of [1, 255, 256, 257, 5000, 65_537, 1_000_001, 123_456_789]) {
      const size = sizeClass(bytes);
      expect(size).toBeGreaterThanOrEqual(bytes);
      expect(size % 256).toBe(0);
      expect(size).toBeLessThanOrEqual(Math.max(256, bytes * 1.125 + 256));
    }
  });
});

describe("Memory", () => {
  test("a scope frees what was made in it, except what it keeps", () => {
    const memory = new Memory(fakeGpu());
    const outer = memory.beginScope();
    const inner = memory.beginScope();
    const [kept, lost] = [memory.allocate(1000), memory.allocate(2000)];
    memory.endScope(inner, [kept]);
    expect([kept.holds, lost.holds]).toEqual([1, 0]);
    expect(memory.allocate(2000)).toBe(lost);
    memory.endScope(outer);
    expect(memory.stats.used).toBe(0);
    expect(memory.stats.reserved).toBe(kept.size + lost.size);
    memory.trim();
    expect(memory.stats.reserved).toBe(0);
  });

  test("the same allocations get the same buffers, in whatever order they are freed", () => {
    const memory = new Memory(fakeGpu());
    const step = (order: number[]) => {
      const made = Array.from({ length: 5 }, () => memory.allocate(1000));
      for (const at of order) memory.release(made[at]!);
      return made.map(({ id }) => id);
    };
    const first = step([4, 2, 0, 1, 3]);
    expect(step([0, 1, 2, 3, 4])).toEqual(first);
    expect(step([3, 0, 4, 1, 2])).toEqual(first);
  });

  test("a held allocation outlives its scope", () => {
    const memory = new Memory(fakeGpu());
    const scope = memory.beginScope();
    const allocation = memory.allocate(100);
    memory.hold(allocation);
    memory.endScope(scope);
    expect(memory.stats.used).toBe(allocation.size);
    memory.release(allocation);
    expect(memory.stats.used).toBe(0);
    expect(() => memory.release(allocation)).toThrow("released twice");
  });

  test("persistent allocations ignore scopes, adopted ones join them", () => {
    const memory = new Memory(fakeGpu());
    const scope = memory.beginScope();
    const allocation = memory.persistent(() => memory.allocate(100));
    memory.endScope(scope);
    expect(allocation.holds).toBe(1);
    const next = memory.beginScope();
    memory.adopt(allocation);
    memory.endScope(next);
    expect(allocation.holds).toBe(0);
  });

  test("scopes end in order", () => {
    const memory = new Memory(fakeGpu());
    const outer = memory.beginScope();
    memory.beginScope();
    expect(() => memory.endScope(outer)).toThrow("out of order");
  });

  test("an exhausted device gives a typed error with the remedy", async () => {
    const memory = new Memory(fakeGpu({ message: "VK_ERROR_OUT_OF_DEVICE_MEMORY" }));
    memory.allocate(3 * 2 ** 20);
    const error = await memory.check().catch((error: unknown) => error);
    expect(error).toBeInstanceOf(LoraError);
    expect((error as LoraError).kind).toBe("out-of-memory");
    expect((error as LoraError).message).toMatch(/3\.0 MiB more.*VK_ERROR[\s\S]*smaller model, batch/);
  });

  test("everybody who waits learns of an error, and then it is over", async () => {
    const memory = new Memory(fakeGpu({ message: "no more" }));
    const missing = memory.allocate(1000);
    const checks = await Promise.allSettled([memory.check(), memory.check()]);
    expect(checks.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(await memory.isShort()).toBe(true);
    memory.release(missing);
    expect(memory.stats).toMatchObject({ used: 0, reserved: 0 }); // what is missing does not come back
    await memory.check();
    expect(await memory.isShort()).toBe(false);
  });

  test("what is reserved follows what is used, over steps of varied lengths", () => {
    const memory = new Memory(fakeGpu());
    const left: number[] = [];
    for (let step = 0; step < 200; step++) {
      memory.beginStep();
      const scope = memory.beginScope();
      const length = 16 + ((step * 37) % 97);
      for (const width of [64, 192, 64, 512, 64]) memory.allocate(4 * length * width);
      memory.endScope(scope);
      left.push(memory.stats.reserved / memory.stats.peak);
    }
    expect(Math.max(...left)).toBeLessThanOrEqual(1.25);
  });

  test("a step that always needs more than it uses at a time keeps its buffers", () => {
    const memory = new Memory(fakeGpu());
    const step = () => {
      memory.beginStep();
      // One after the other: the peak is the larger, and both are needed again.
      return [300_000, 200_000].map((bytes) => {
        const allocation = memory.allocate(bytes);
        memory.release(allocation);
        return allocation.id;
      });
    };
    const first = step();
    for (let i = 0; i < 40; i++) expect(step()).toEqual(first);
  });

  test("buffers that many steps did not use are given back", () => {
    const memory = new Memory(fakeGpu());
    const large = memory.allocate(1_000_000);
    memory.release(large);
    for (let step = 0; step < 20; step++) {
      memory.beginStep();
      memory.release(memory.allocate(1000));
    }
    expect(memory.stats.reserved).toBe(1024);
  });

  test("more than one buffer may hold is refused before the driver is asked", () => {
    const memory = new Memory(fakeGpu(null, 2 ** 20));
    expect(() => memory.allocate(2 ** 21)).toThrow(/one buffer may have 1048576 bytes here/);
  });
});
