// Matrix units (tensor cores) through Chromium's experimental WGSL extension, whose syntax still changes: everything that
// depends on it is here and in shaders/*-subgroup-matrix.wgsl.
import type { WgslModule } from "./wgsl.ts";

/** Not yet in the WebGPU types. */
export const SUBGROUP_MATRIX = "chromium-experimental-subgroup-matrix" as GPUFeatureName;
/** Not yet in the WebGPU types either. */
export const SUBGROUP_SIZE_CONTROL = "subgroup-size-control" as GPUFeatureName;

/** What a device's matrix units multiply: `[m, k]` by `[k, n]`, summed in f32 by a subgroup. */
export interface MatrixUnits {
  /** Rows of a fragment of the result. */
  readonly m: number;
  /** Columns of a fragment of the result. */
  readonly n: number;
  /** Length of a fragment's sums. */
  readonly k: number;
  /** Of the operands; WGSL has no bf16. */
  readonly type: "f16" | "f32";
  /** Invocations of a subgroup. */
  readonly lanes: number;
  /** Whether a subgroup has so many only where the shader asks for it. */
  readonly pinned: boolean;
  /** Most invocations of a workgroup. */
  readonly invocations: number;
  /** Most bytes of workgroup memory. */
  readonly workgroupBytes: number;
}

interface MatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

interface MatrixAdapterInfo extends GPUAdapterInfo {
  readonly subgroupMatrixConfigs?: Iterable<MatrixConfig>;
}

/** Sizes of subgroups in the order in which they are tried where they vary. */
const LANES = [32, 64, 16, 8];
/** The kernels' own parts of C are of 32, or twice that, and they hold at most four fragments along each side. */
const SIZES = [8, 16, 32];

/** Ways in which an adapter multiplies f16, or f32, matrices into f32 sums, those first that are expected to be fastest. */
export function matrixUnitsOf(adapter: Pick<GPUAdapter, "features" | "info" | "limits">): MatrixUnits[] {
  const { subgroupMatrixConfigs = [] } = adapter.info as MatrixAdapterInfo;
  if (!adapter.features.has(SUBGROUP_MATRIX) || !adapter.features.has("shader-f16")) return [];
  const configs = [...subgroupMatrixConfigs].filter(isKnown).sort((a, b) => speed(b) - speed(a));
  const { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupStorageSize } = adapter.limits;
  return configs.flatMap(({ M, N, K, componentType }) =>
    subgroupsOf(adapter).map((subgroups) => ({
      ...{ m: M, n: N, k: K, type: componentType as MatrixUnits["type"], ...subgroups },
      invocations: maxComputeInvocationsPerWorkgroup,
      workgroupBytes: maxComputeWorkgroupStorageSize,
    })),
  );
}

function isKnown({ componentType, resultComponentType, M, N, K }: MatrixConfig): boolean {
  const isSummed = resultComponentType === "f32" && (componentType === "f16" || componentType === "f32");
  return isSummed && [M, N, K].every((size) => SIZES.includes(size));
}

/** Multiply-adds of an instruction, f16 before f32. */
const speed = ({ componentType, M, N, K }: MatrixConfig) => M * N * K * (componentType === "f16" ? 2 : 1);

function subgroupsOf({
  features,
  info: { subgroupMinSize, subgroupMaxSize },
}: Pick<GPUAdapter, "features" | "info">): Pick<MatrixUnits, "lanes" | "pinned">[] {
  if (subgroupMinSize === subgroupMaxSize) return [{ lanes: subgroupMinSize, pinned: false }];
  if (!features.has(SUBGROUP_SIZE_CONTROL)) return [];
  const possible = LANES.filter((lanes) => lanes >= subgroupMinSize && lanes <= subgroupMaxSize);
  return possible.map((lanes) => ({ lanes, pinned: true }));
}

/** WGSL of a kernel for matrix units whose subgroups are to have LANES invocations: where their size varies it is asked for. */
export function pinned(code: string): string {
  return `enable subgroup_size_control;\n${code.replace(/^@compute /gm, "@compute @subgroup_size(LANES) ")}`;
}

const PINNED = new WeakMap<WgslModule, WgslModule>();

/** A shader for matrix units as a device needs it; always the same object, which caches know it by. */
export function matrixModule(module: WgslModule, units: MatrixUnits): WgslModule {
  if (!units.pinned) return module;
  const known = PINNED.get(module) ?? { ...module, code: pinned(module.code) };
  PINNED.set(module, known);
  return known;
}

const NEEDED = new Set<() => Promise<unknown>>();

/** Has something loaded before a device's matrix units are used: their kernels' shaders, which few devices need. */
export function beforeMatrixUnits(load: () => Promise<unknown>): void {
  NEEDED.add(load);
}

/** Loads what {@link beforeMatrixUnits} was told. */
export async function loadMatrixKernels(): Promise<void> {
  await Promise.all([...NEEDED].map((load) => load()));
}
