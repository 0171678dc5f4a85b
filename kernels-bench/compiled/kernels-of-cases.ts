// Which kernels the cases of the benchmark launch on a device, without launching them.
import { Device, type DeviceInfo } from "../../src/gpu/device.ts";
import type { KernelSource } from "../../src/gpu/kernel.ts";
import { factsOf } from "../../src/gpu/shape-device.ts";
import { ShapeGpu } from "../../src/gpu/shape-gpu.ts";
import type { BenchCase } from "../harness.ts";
import { launchCase } from "../measure.ts";

/** A kernel to be compiled. */
export interface CaseKernel {
  /** Shader and entry point. */
  readonly name: string;
  /** Constants in which it differs from others of its name. */
  readonly constants: string;
  /** Compiles it on a device that can. */
  compile(device: Device): void;
}

/** Kernels, each once, and for each case the places of its own among them. */
export interface CaseKernels {
  readonly kernels: readonly CaseKernel[];
  readonly cases: ReadonlyMap<string, readonly number[]>;
}

/**
 * Records each case on a device without memory that decides like the given one, without matrix units unless the case needs
 * them. Cases that do not fit are left out.
 */
export async function kernelsOfCases(cases: readonly BenchCase[], device: Device): Promise<CaseKernels> {
  const kernels: KernelSource[] = [];
  const places = new Map<string, number>();
  const placeOf = (kernel: KernelSource) => {
    const key = `${kernel.label}\n${kernel.code}`;
    const place = places.get(key) ?? kernels.push(kernel) - 1;
    places.set(key, place);
    return place;
  };
  const byCase = new Map<string, readonly number[]>();
  const { matrixUnits: _, ...plain } = device.info;
  for (const benchCase of cases) {
    const own =
      (await kernelsOf(benchCase, device, plain)) ?? (await kernelsOf(benchCase, device, device.info));
    if (own) byCase.set(benchCase.name, own.map(placeOf));
  }
  return { kernels: withConstants(kernels), cases: byCase };
}

/** What a device that has compiled nothing yet is asked to compile for a case; undefined where it does not fit. */
async function kernelsOf(
  benchCase: BenchCase,
  device: Device,
  info: DeviceInfo,
): Promise<KernelSource[] | undefined> {
  const { profile, limits } = factsOf(device);
  const shape = new ShapeGpu(limits);
  const asked: KernelSource[] = [];
  shape.watcher = { onCompile: (kernel) => asked.push(kernel) };
  const own = new Device(shape.gpu, info, { profile });
  if (benchCase.unfit?.(own) !== undefined) return undefined;
  await launchCase(benchCase, own);
  return asked;
}

function withConstants(kernels: readonly KernelSource[]): CaseKernel[] {
  const constants = kernels.map(({ code }) => constantsOf(code));
  return kernels.map((kernel, i) => {
    const others = constants.filter((_, j) => kernels[j]?.label === kernel.label);
    const own = [...(constants[i] ?? [])].filter(([name, value]) =>
      others.some((other) => other.get(name) !== value),
    );
    return {
      name: kernel.label,
      constants: own.map(([name, value]) => `${name}=${value}`).join(" "),
      compile: (device) => compileKernel(kernel, device),
    };
  });
}

/** Single values that a shader is specialised by. */
function constantsOf(code: string): Map<string, string> {
  const lines = code.matchAll(/^(?:const|alias) (\w+)(?:: \w+)? = ([\w.]+);/gm);
  return new Map([...lines].map(([, name = "", value = ""]) => [name, value.replace(/^(\d+)u$/, "$1")]));
}

function compileKernel({ label, code, entryPoint, bindings }: KernelSource, { gpu }: Device): void {
  const group = gpu.createBindGroupLayout({ entries: [...bindings] });
  gpu.createComputePipeline({
    label,
    layout: gpu.createPipelineLayout({ bindGroupLayouts: [group] }),
    compute: { module: gpu.createShaderModule({ label, code }), entryPoint },
  });
}
