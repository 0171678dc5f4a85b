import { afterAll, describe, expect, test } from "vitest";
import { create } from "webgpu";
import type { WgslModule } from "../src/gpu/wgsl.ts";
import { testDevice } from "./support/device.ts";
import { allShaders, featuresOf } from "./support/shaders.ts";

const MAX_STORAGE_BINDINGS = 8;

/** A device with WebGPU's default limits (256 invocations, 16 KiB of workgroup memory) and every optional feature. */
async function openFloor(): Promise<GPUDevice> {
  await testDevice(); // finds the driver
  const gpu = create([]) as GPU;
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  const features = (["subgroups", "shader-f16"] as const).filter((name) => adapter?.features.has(name));
  const device = await adapter?.requestDevice({ requiredFeatures: features });
  if (!device) throw new Error("no adapter");
  afterAll(() => {
    device.destroy();
    return gpu; // Dawn aborts if the instance is collected before its device
  });
  return device;
}

const floor = await openFloor();

/** What the device says against an entry point with the file's own constants, or null. */
async function complaint(
  device: GPUDevice,
  { code, entries }: WgslModule,
  entryPoint: string,
): Promise<string | null> {
  device.pushErrorScope("validation");
  const layout = device.createBindGroupLayout({
    entries: (entries[entryPoint] ?? []).map(({ binding, kind }) => ({
      binding,
      visibility: 0x4, // GPUShaderStage.COMPUTE
      buffer: { type: kind === "uniform" ? kind : kind === "read" ? "read-only-storage" : "storage" },
    })),
  });
  const module = device.createShaderModule({ code });
  device.createComputePipeline({
    layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
    compute: { module, entryPoint },
  });
  return (await device.popErrorScope())?.message ?? null;
}

describe.each((await allShaders()).map((shader) => [shader.name, shader] as const))(
  "%s.wgsl",
  (_, shader) => {
    const entries = Object.entries(shader.entries);

    test("is reflected: entry points with their bindings", () => {
      expect(entries.length).toBeGreaterThan(0);
      expect(shader.code.match(/^@compute/gm)).toHaveLength(entries.length);
      for (const [entry, bindings] of entries) {
        const storage = bindings.filter(({ kind }) => kind !== "uniform");
        expect(storage.length, entry).toBeLessThanOrEqual(MAX_STORAGE_BINDINGS);
        const uniforms = bindings.filter(({ kind }) => kind === "uniform").map(({ binding }) => binding);
        expect(uniforms, `${entry}: Params is binding 0`).toEqual(shader.params.size > 0 ? [0] : []);
      }
    });

    test("says what it computes, and stays in the dialect that all implementations share", () => {
      expect(shader.code).toMatch(/^(enable \w+;\n)*\/\/ .+\n\/\/ /);
      expect(shader.code).not.toMatch(/^\s*override\b|^#if|ptr<(storage|uniform|workgroup)/m);
    });

    test.for(entries.map(([entry]) => entry))(
      "%s compiles within the default limits",
      async (entry, { skip }) => {
        const missing = featuresOf(shader).filter((feature) => !floor.features.has(feature));
        skip(missing.length > 0, `the device lacks ${missing.join(", ")}`);
        expect(await complaint(floor, shader, entry)).toBeNull();
      },
    );
  },
);

test("a pipeline beyond the default limits is refused", async () => {
  const shader = (memory: number): WgslModule => ({
    name: "greedy",
    code: `var<workgroup> a: array<f32, ${memory / 4}>; @compute @workgroup_size(1) fn main() { a[0] = 1; }`,
    constants: {},
    aliases: {},
    params: { size: 0, fields: [] },
    entries: { main: [] },
  });
  expect(await complaint(floor, shader(16384), "main")).toBeNull();
  expect(await complaint(floor, shader(16388), "main")).toMatch(/workgroup/i);
});
