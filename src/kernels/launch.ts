import type { Device } from "../gpu/device.ts";
import type { Region } from "../gpu/kernel.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Specialization, WgslModule } from "../gpu/wgsl.ts";
import { foldGrid } from "./grid.ts";
import { storedAs } from "./stored.ts";
import { elementWindows } from "./windows.ts";

/** How a kernel with common/elements.wgsl is launched. */
export interface ElementLaunch {
  /** Elements that one invocation handles at a time: 4 or 1. */
  readonly width: number;
  /** Number of such vectors. */
  readonly count: number;
  /** The shader's `alias elem`. */
  readonly elem: "vec4f" | "f32";
  /** The shader's `const WG`: invocations of a workgroup. */
  readonly WG: number;
  readonly grid: readonly [number];
}

/**
 * Launch over `size` elements. A GPU wants all its cores full; a CPU rasteriser pays for each workgroup and computes
 * one subgroup of it after the other, so workgroups are few there and not much wider than a subgroup.
 * @param unit a length that vectors must divide (rows that they must not straddle).
 */
export function perElement(device: Device, size: number, unit = size): ElementLaunch {
  const { workgroupSize: WG, shortestRun, workgroups } = device.profile;
  const { width, elem } = rowWidth(unit);
  const count = size / width;
  const groups = Math.min(workgroups, Math.ceil(count / shortestRun));
  return { width, count, elem, WG, grid: [Math.max(1, groups)] };
}

/** What {@link runElements} runs. */
export interface ElementWork {
  /** Tensors of equal size by binding; each dispatch sees one range of all. */
  bind: Readonly<Record<string, Tensor>>;
  /** What is bound as it is. */
  whole?: Readonly<Record<string, Region>>;
  /** A length that vectors and ranges must not straddle: rows. */
  unit?: number;
  constants?: Specialization;
  /** As of a single launch. */
  changing?: boolean;
  /** `Params` of a range that begins at element `start`; by default its `count` alone. */
  params?(launch: ElementLaunch, start: number): Readonly<Record<string, number>>;
}

/** Runs an entry point over all elements: one dispatch, or one for each range that the device can bind. */
export function runElements(
  device: Device,
  shader: WgslModule,
  entry: string,
  { bind, whole, unit, constants, changing = false, params = ({ count }) => ({ count }) }: ElementWork,
): void {
  const [first] = Object.values(bind);
  const size = first?.size ?? 0;
  for (const { start, end } of elementWindows(device, size, unit)) {
    const launch = perElement(device, end - start, unit);
    const stored = storedAs(shader.name, launch.elem, Object.values(bind));
    device.run(shader, entry, {
      bind: { ...(end - start === size ? bind : ranges(bind, start, end)), ...whole },
      params: params(launch, start),
      constants: { elem: launch.elem, WG: launch.WG, ...stored, ...constants },
      grid: launch.grid,
      changing,
    });
  }
}

function ranges(bind: ElementWork["bind"], start: number, end: number): Record<string, Tensor> {
  const range = (tensor: Tensor) => tensor.reshape([tensor.size]).slice(start, end);
  return Object.fromEntries(Object.entries(bind).map(([name, tensor]) => [name, range(tensor)]));
}

/**
 * Invocations of a workgroup that reduces `length` values: the `const WG` of kernels with common/reduce.wgsl.
 */
export function reductionSize(device: Device, length: number): number {
  if (device.profile.sharesWork) return length < 1024 ? 64 : 256;
  return length < 8192 ? 8 : 32;
}

/** Vectors that rows of `columns` values consist of: the shader's `elem` and how many values it holds. */
export function rowWidth(columns: number): { width: number; elem: "vec4f" | "f32" } {
  return columns % 4 === 0 ? { width: 4, elem: "vec4f" } : { width: 1, elem: "f32" };
}

/** How a kernel that reduces each row is launched. */
export interface RowLaunch {
  readonly width: number;
  readonly elem: "vec4f" | "f32";
  /** Invocations of a workgroup, and how many of them share a row: all, or each has its own. */
  readonly WG: number;
  readonly LANES: number;
  readonly grid: readonly [number, number];
}

/** From this many rows on a device whose invocations share nothing is full with one row an invocation. */
const MANY_ROWS = 32;

/**
 * Launch of a kernel that reduces each of `rows` rows. Where invocations had better share nothing, each takes a row of
 * its own if there are enough: RMSNorm of 4096 rows of 1024 takes 4.5 ms instead of 12 on lavapipe.
 */
export function perRow(device: Device, rows: number, columns: number): RowLaunch {
  const { width, elem } = rowWidth(columns);
  if (!device.profile.sharesWork && rows >= MANY_ROWS) {
    return { width, elem, WG: 8, LANES: 1, grid: foldGrid(Math.ceil(rows / 8)) };
  }
  const WG = reductionSize(device, columns);
  return { width, elem, WG, LANES: WG, grid: foldGrid(rows) };
}
