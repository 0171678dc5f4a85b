import { describe, expect, test } from "vitest";
import fill from "../../shaders/fill.wgsl";
import norm from "../../shaders/rms-norm.wgsl";
import { type Device, describeAdapter } from "../../src/gpu/device.ts";
import { sizeClass } from "../../src/gpu/memory.ts";
import { empty, fromArray, scoped } from "../../src/gpu/tensor.ts";
import { specialize } from "../../src/gpu/wgsl.ts";
import { add } from "../../src/kernels/elementwise.ts";
import { openNodeDevice } from "../../src/platform/node-gpu.ts";
import type { LoraError } from "../../src/util/fail.ts";
import { floats, testDevice } from "../support/device.ts";

describe("specialize", () => {
  test("rewrites constants and keeps their literal type", () => {
    const code = specialize(norm, { WG: 128, OFFSET: 1, ACCUMULATE: true });
    expect(code).toContain("const WG: u32 = 128u;");
    expect(code).toContain("const OFFSET: f32 = 1.0;");
    expect(code).toContain("const ACCUMULATE: bool = true;");
  });

  test("an unknown name is refused with the known ones", () => {
    expect(() => specialize(norm, { TILE: 4 })).toThrow(
      /rms-norm.wgsl: no constant or alias "TILE"[\s\S]*WG, LANES, LINES, OFFSET, ACCUMULATE/,
    );
  });
});

describe("the name of a device", () => {
  const nameOf = (info: Partial<GPUAdapterInfo>) => {
    const none = { vendor: "", architecture: "", device: "", description: "", isFallbackAdapter: false };
    return describeAdapter({ ...none, ...info } as GPUAdapterInfo, new Set()).name;
  };

  test("is the card's, before the driver's version", () => {
    const nvidia = { vendor: "nvidia", architecture: "hopper", device: "nvidia-h200" };
    expect(nameOf({ ...nvidia, description: "NVIDIA: 550.54.15" })).toBe("nvidia-h200 (NVIDIA: 550.54.15)");
  });

  test("is the description alone where that has it, or where `device` is a number", () => {
    expect(nameOf({ device: "apple-m2", description: "Apple M2" })).toBe("Apple M2");
    expect(nameOf({ device: "8710", description: "NVIDIA H200" })).toBe("NVIDIA H200");
    expect(nameOf({ device: "llvmpipe-llvm-15-0-6-256-bits-", description: "llvmpipe: Mesa 25.0.7" })).toBe(
      "llvmpipe: Mesa 25.0.7",
    );
  });

  test("without a description is what else there is", () => {
    expect(nameOf({ vendor: "intel", architecture: "xe" })).toBe("intel xe");
    expect(nameOf({ vendor: "intel", architecture: "xe", device: "intel-arc-a770" })).toBe("intel-arc-a770");
    expect(nameOf({})).toBe("unnamed adapter");
  });

  test("the hardware's name has no driver in it", () => {
    const card = { vendor: "nvidia", architecture: "hopper", device: "0x2335" };
    const hardwareOf = (description: string) =>
      describeAdapter({ ...card, description } as GPUAdapterInfo, new Set()).hardware;
    expect(hardwareOf("NVIDIA: 550.54.15")).toBe("nvidia hopper 0x2335");
    expect(hardwareOf("NVIDIA: 570.10")).toBe("nvidia hopper 0x2335");
  });

  test("Deno's number of a vendor is its name", () => {
    const deno = { vendor: "4318", device: "9013", description: "NVIDIA H200" } as GPUAdapterInfo;
    expect(describeAdapter(deno, new Set()).vendor).toBe("nvidia");
  });
});

describe("run refuses by name", () => {
  test("a grid beyond the device's limit", async () => {
    const device = await testDevice();
    const y = empty(device, [4]);
    const most = device.limits.maxComputeWorkgroupsPerDimension;
    const launch = { bind: { y }, params: { count: 4, bits: 0 }, grid: [1, most + 1] as const };
    expect(() => device.run(fill, "forward", launch)).toThrow(
      `fill.forward: a grid of 1 × ${most + 1} workgroups, and this device takes at most ${most}`,
    );
  });

  test("missing and extra bindings, missing params, unknown entries", async () => {
    const device = await testDevice();
    const y = empty(device, [4]);
    const params = { count: 4, bits: 0 };
    expect(() => device.run(fill, "forward", { bind: {}, params, grid: [1] })).toThrow(
      'fill.forward: binding "y" is missing',
    );
    expect(() => device.run(fill, "forward", { bind: { y, z: y }, params, grid: [1] })).toThrow(
      'binding "z" does not exist',
    );
    expect(() => device.run(fill, "forward", { bind: { y }, params: { count: 4 }, grid: [1] })).toThrow(
      "Params.bits is missing",
    );
    expect(() => device.run(fill, "backward", { bind: { y }, params, grid: [1] })).toThrow(
      'no entry point "backward"',
    );
  });

  test("a buffer that is read and written in one dispatch", async () => {
    const device = await testDevice();
    const [x, w, rstd] = [floats(device, [1, 2], [1, 2]), floats(device, [1, 1], [2]), empty(device, [1])];
    const params = { rows: 1, cols: 2, eps: 0 };
    expect(() =>
      device.run(norm, "forward", { bind: { x, w, y: x, rstd_out: rstd }, params, grid: [1] }),
    ).toThrow('"x" (read) and "y" (written) are the same buffer');
  });
});

test("a buffer larger than a binding may be gives a typed error with the remedy", async () => {
  const device = await testDevice();
  const byteLength = device.limits.maxStorageBufferBindingSize + 16;
  const y = { storage: empty(device, [4]).storage, byteOffset: 0, byteLength }; // refused before the driver sees it
  const launch = { bind: { y }, params: { count: 4, bits: 0 }, grid: [1] as const };
  expect(() => device.run(fill, "forward", launch)).toThrow(
    expect.objectContaining({
      kind: "out-of-memory",
      message: expect.stringMatching(/fill.forward: "y" has [\s\S]*smaller batch/),
    }),
  );
});

describe("stream", () => {
  test("dispatches keep their own params although none is submitted in between", async () => {
    const device = await testDevice();
    const tensors = [10, 20, 30].map((bits) => {
      const y = empty(device, [1], "u32");
      device.run(fill, "forward", { bind: { y }, params: { count: 1, bits }, grid: [1] });
      return y;
    });
    const values = await Promise.all(tensors.map((tensor) => tensor.readIntegers()));
    expect(values.map(([value]) => value)).toEqual([10, 20, 30]);
  });

  test("an upload into a reused buffer does not overtake commands that still read it", async () => {
    const device = await testDevice();
    const size = 1024;
    const first = scoped(device, () => {
      const a = fromArray(device, new Float32Array(size).fill(1), [size]);
      return add(a, a);
    });
    fromArray(device, new Float32Array(size).fill(50), [size]); // takes a's buffer before the addition was submitted
    expect((await first.read()).every((value) => value === 2)).toBe(true);
  });

  test("a large upload follows a dispatch that was refused, with nothing recorded to wait for", async () => {
    const device = await testDevice();
    const x = fromArray(device, new Float32Array(1 << 15), [1 << 15]);
    await device.sync();
    expect(() =>
      device.run(fill, "forward", { bind: { y: x, z: x }, params: { count: 1, bits: 1 }, grid: [1] }),
    ).toThrow('"z" does not exist');
    x.write(new Float32Array(x.size).fill(3));
    expect((await x.read()).every((value) => value === 3)).toBe(true);
  });

  test("recorded steps are repeated without new pipelines", async () => {
    const device = await testDevice();
    const x = floats(device, [1, 2, 3, 4], [4]);
    const step = () => scoped(device, () => add(x, x));
    await step().read();
    const { compiled } = device.kernels;
    await step().read();
    expect(device.kernels.compiled).toBe(compiled);
  });
});

describe("an error of memory", () => {
  /** The next buffer of this size is more than the device has: a real buffer that is not valid. */
  function failAt(device: Device, size: number): void {
    const { gpu } = device;
    const create = gpu.createBuffer.bind(gpu);
    gpu.createBuffer = (descriptor) => {
      if (descriptor.size !== sizeClass(size)) return create(descriptor);
      gpu.createBuffer = create;
      return create({ ...descriptor, size: 2 * gpu.limits.maxBufferSize });
    };
  }

  test("ends an operation, not the device", async () => {
    const device = await openNodeDevice();
    const x = floats(device, [1, 2, 3, 4], [4]);
    await device.sync();
    const { used } = device.memory.stats;
    failAt(device, 4 * 12_345);
    const scope = device.memory.beginScope();
    const missing = empty(device, [12_345]);
    const sum = add(missing, missing);
    const outcomes = await Promise.allSettled([sum.read(), device.sync(), device.check()]);
    for (const outcome of outcomes)
      expect(outcome).toMatchObject({ status: "rejected", reason: { kind: "out-of-memory" } });
    device.memory.endScope(scope);
    expect(device.memory.stats.used).toBe(used);
    // With less, on the same device.
    expect([...(await scoped(device, () => add(x, x)).read())]).toEqual([2, 4, 6, 8]);
    expect(
      (await scoped(device, () => add(empty(device, [12_345]), empty(device, [12_345]))).read()).length,
    ).toBe(12_345);
    device.close();
  });
});

test("a lost device is reported with the remedy, at the next read and at the next dispatch", async () => {
  const device = await openNodeDevice();
  const x = floats(device, [1, 2, 3, 4], [4]);
  await device.sync();
  device.gpu.destroy(); // a driver reset looks the same to the engine
  await device.gpu.lost;
  const error = (await x.read().catch((error: unknown) => error)) as LoraError;
  expect(error.kind).toBe("device-lost");
  expect(error.message).toMatch(/was lost[\s\S]*resume from the last saved adapter/);
  expect(() => add(x, x)).toThrow("was lost");
});

test("16-bit host data needs its dtype named; sizes must agree", async () => {
  const device = await testDevice();
  expect(() => fromArray(device, new Uint16Array(2), [2])).toThrow("16-bit data can be f16 or bf16");
  expect(() => fromArray(device, new Float32Array(3), [4])).toThrow("got 12 bytes for [4] f32, wanted 16");
  expect(() => empty(device, [4]).reshape([3])).toThrow("[4] has another size than [3]");
});
