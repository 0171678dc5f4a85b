import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { create } from "webgpu";
import type { WgslBinding, WgslModule } from "../src/gpu/wgsl.ts";
import { testDevice } from "./support/device.ts";
import { allShaders, featuresOf, ROOT } from "./support/shaders.ts";

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

/** What a binding of this kind takes, as src/gpu/kernel.ts lays it out. */
function resourceOf(kind: WgslBinding["kind"]): Omit<GPUBindGroupLayoutEntry, "binding" | "visibility"> {
  const format = "rgba32uint";
  if (kind === "texels") return { storageTexture: { access: "read-only", format } };
  if (kind === "texels_written") return { storageTexture: { access: "write-only", format } };
  return { buffer: { type: kind === "uniform" ? kind : kind === "read" ? "read-only-storage" : "storage" } };
}

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
      ...resourceOf(kind),
    })),
  });
  const module = device.createShaderModule({ code });
  device.createComputePipeline({
    layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
    compute: { module, entryPoint },
  });
  return (await device.popErrorScope())?.message ?? null;
}

type Minifier = () => Promise<(code: string) => string>;
const { minifier } = (await import(join(ROOT, "wgsl-plugin.mjs"))) as { minifier: Minifier };
const minify = await minifier();
const wordsOf = (code: string) => code.match(/[A-Za-z_]\w*|\d[\w.]*|[^\s\w]/g) ?? [];

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

    test("ships with short names, and nothing else is other", async () => {
      const short = minify(shader.code);
      expect(short.length).toBeLessThan(shader.code.length);
      const [long, renamed] = [shader.code.replace(/\/\/.*$/gm, ""), short].map(wordsOf);
      const shortOf = new Map(long?.map((word, i) => [word, renamed?.[i]]));
      expect(renamed).toEqual(long?.map((word) => shortOf.get(word)));
      expect(new Set(shortOf.values()).size).toBe(shortOf.size); // no two names became one
      const declared = (code: string) => code.match(/^(const|alias) \w+/gm);
      expect(declared(short)).toEqual(declared(shader.code)); // which specialising looks for
      if (featuresOf(shader).some((feature) => !floor.features.has(feature))) return;
      const { messages } = await floor.createShaderModule({ code: short }).getCompilationInfo();
      expect(messages.filter(({ type }) => type === "error").map(({ message }) => message)).toEqual([]);
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
    params: { size: 0, fields: [] },
    entries: { main: [] },
  });
  expect(await complaint(floor, shader(16384), "main")).toBeNull();
  expect(await complaint(floor, shader(16388), "main")).toMatch(/workgroup/i);
});
