// Matrix units (tensor cores) through Chromium's experimental WGSL extension, whose syntax still changes: everything that
// depends on it is here and in shaders/matmul-subgroup-matrix.wgsl.

/** Not yet in the WebGPU types. */
export const SUBGROUP_MATRIX = "chromium-experimental-subgroup-matrix" as GPUFeatureName;

/** The only shape that the kernel is written for. */
const WANTED = { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 } as const;
/** Lanes of a subgroup that the kernel is written for. */
const LANES = 32;

interface MatrixAdapterInfo extends GPUAdapterInfo {
  readonly subgroupMatrixConfigs?: Iterable<Record<string, unknown>>;
}

/** Every construct that the kernel uses. */
const PROBE = `enable chromium_experimental_subgroup_matrix;
enable f16;
diagnostic(off, chromium.subgroup_matrix_uniformity);
var<workgroup> tile: array<f16, 256>;
var<workgroup> sums: array<f32, 256>;
@compute @workgroup_size(32) fn main() {
  let a = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&tile, 0u, 16u);
  let b = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&tile, 0u, 16u);
  var c: subgroup_matrix_result<f32, 16, 16>;
  c = subgroupMatrixMultiplyAccumulate(a, b, c);
  subgroupMatrixStore<row_major>(&sums, 0u, c, 16u);
}`;

/** Whether an adapter multiplies 16×16×16 f16 matrices into f32 sums, in subgroups of 32. */
export function hasMatrixUnits(adapter: Pick<GPUAdapter, "features" | "info">): boolean {
  const { subgroupMinSize, subgroupMaxSize, subgroupMatrixConfigs = [] } = adapter.info as MatrixAdapterInfo;
  const fits = (config: Record<string, unknown>) =>
    Object.entries(WANTED).every(([name, value]) => config[name] === value);
  return (
    adapter.features.has(SUBGROUP_MATRIX) &&
    adapter.features.has("shader-f16") &&
    subgroupMinSize === LANES &&
    subgroupMaxSize === LANES &&
    [...subgroupMatrixConfigs].some(fits)
  );
}

/** Whether a device with the feature understands the WGSL of today. Says nothing where it does not. */
export async function understandsMatrices(
  device: Pick<GPUDevice, "createShaderModule" | "createComputePipelineAsync">,
): Promise<boolean> {
  try {
    const module = device.createShaderModule({ label: "subgroup-matrix probe", code: PROBE });
    await device.createComputePipelineAsync({ layout: "auto", compute: { module, entryPoint: "main" } });
    return true;
  } catch {
    return false;
  }
}
