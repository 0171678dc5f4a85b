// A device with matrix units where there are none: WGSL for them is translated to plain WGSL before it is compiled.
import { create } from "webgpu";
import type { Device, DeviceOptions } from "../../src/gpu/device.ts";
import { SUBGROUP_MATRIX, SUBGROUP_SIZE_CONTROL } from "../../src/gpu/subgroup-matrix.ts";
import { requestDevice } from "../../src/kernels/request-device.ts";
import { waitAsleep } from "../../src/platform/node-wait.ts";
import { testDevice } from "./device.ts";

/** What the adapter claims, in the words of Dawn's list. */
export interface ClaimedShape {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly componentType: string;
  readonly resultComponentType?: string;
}

/** How the device behaves: as it should, or not. */
export type Behaviour = "right" | "wrong" | "unknown" | "lost";

/** What an adapter is made to claim. */
export interface Claims {
  readonly shapes: readonly ClaimedShape[];
  /** Least and most lanes of a subgroup; 32 unless given. */
  readonly lanes?: readonly [number, number];
  readonly behaviour?: Behaviour;
}

/** Dawn aborts the process if its instance is collected. */
const instances: GPU[] = [];

/** The test's device, opened anew as one with such matrix units, and asked for them. */
export async function openWithMatrices(claims: Claims, options: DeviceOptions = {}): Promise<Device> {
  await testDevice(); // chooses the driver
  instances[0] ??= create([]) as GPU;
  const gpu = { requestAdapter: async () => claiming(await instances[0]?.requestAdapter(), claims) };
  const device = await requestDevice(gpu as unknown as GPU, {
    ...{ halfPrecision: true, wait: waitAsleep },
    ...options,
  });
  if (!device) throw new Error("no adapter");
  return device;
}

function claiming(adapter: GPUAdapter | null | undefined, claims: Claims): object {
  if (!adapter) throw new Error("no adapter");
  const { shapes, lanes: [subgroupMinSize, subgroupMaxSize] = [32, 32] } = claims;
  const subgroupMatrixConfigs = shapes.map((shape) => ({ resultComponentType: "f32", ...shape }));
  const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info;
  const known = { vendor, architecture, device, description, isFallbackAdapter };
  const hasF16 = adapter.features.has("shader-f16");
  const claimed: readonly string[] = [SUBGROUP_MATRIX, SUBGROUP_SIZE_CONTROL, "shader-f16"];
  return {
    features: new Set([...adapter.features, ...claimed]),
    info: { ...known, subgroupMinSize, subgroupMaxSize, subgroupMatrixConfigs },
    limits:
      hasF16 || shapes[0]?.componentType === "f32"
        ? adapter.limits
        : new Proxy(adapter.limits, { get: halved }),
    async requestDevice({ requiredFeatures = [], requiredLimits }: GPUDeviceDescriptor) {
      const real = [...requiredFeatures].filter((feature) => adapter.features.has(feature));
      const { maxComputeWorkgroupStorageSize } = adapter.limits;
      const opened = await adapter.requestDevice({
        requiredFeatures: real,
        requiredLimits: { ...requiredLimits, maxComputeWorkgroupStorageSize },
      });
      return translating(opened, hasF16, claims.behaviour ?? "right");
    },
  };
}

/** Where f16 is emulated by f32, kernels take twice the workgroup memory that they count. */
function halved(limits: GPUSupportedLimits, name: string): unknown {
  const value = Reflect.get(limits, name);
  return name === "maxComputeWorkgroupStorageSize" ? value / 2 : value;
}

function translating(device: GPUDevice, hasF16: boolean, behaviour: Behaviour): GPUDevice {
  const createShaderModule = device.createShaderModule.bind(device);
  device.createShaderModule = (descriptor) => {
    const { code } = descriptor;
    if (!code.includes("subgroup_matrix") || behaviour === "unknown") return createShaderModule(descriptor);
    if (behaviour === "lost") device.destroy();
    const plain = withoutMatrices(code, hasF16);
    const wrong = plain.replace("sums[j] += ", "sums[j] -= ");
    return createShaderModule({ ...descriptor, code: behaviour === "wrong" ? wrong : plain });
  };
  return device;
}

/**
 * A kernel for matrix units in plain WGSL. An operand is the place in workgroup memory that it was loaded from, of which the
 * tile's last index is one step; of a result each invocation of a subgroup holds every LANES-th element.
 */
export function withoutMatrices(code: string, hasF16: boolean): string {
  if (code.includes("put_rows")) return attentionWithoutMatrices(code, hasF16);
  const plain = code
    .replace(/^(enable|diagnostic).*;.*\n/gm, "")
    .replace("@subgroup_size(LANES) ", "")
    .replace(/^alias (Left|Right) = .*$/gm, "alias $1 = vec3u;")
    .replace(/^alias Result = .*$/m, "alias Result = array<f32, M * N / LANES>;")
    .replace(/ < (DEPTH|ROWS|COLS);/g, " < bound($1);")
    .replace(/^fn forward\([^{]*\{\n/m, "$&  own = lane % LANES;\n")
    .replace(
      /subgroupMatrixLoad<\w+, \w+>\(&\w+\[([^\]]+)\]\[([^\]]+)\], (\w+), STRIDE\)/g,
      "vec3u($1, $2, $3)",
    )
    .replaceAll("subgroupMatrixMultiplyAccumulate(", "multiply_fragments(")
    .replaceAll("subgroupMatrixLoad<Result, row_major>(&c_tile, ", "load_fragment(")
    .replaceAll("subgroupMatrixStore<row_major>(&c_tile, ", "store_fragment(");
  return withUnits(plain, hasF16) + FRAGMENTS;
}

function withUnits(code: string, hasF16: boolean): string {
  if (hasF16 || code.includes("alias unit = f32")) return `${hasF16 ? "enable f16;" : ""}\n${code}`;
  return code.replace("alias unit = f16", "alias unit = f32").replace(/\bunit\(/g, "quantizeToF16(");
}

/** The same for attention's kernels, whose operands all lie in one array: a place is where they begin, and their stride. */
function attentionWithoutMatrices(code: string, hasF16: boolean): string {
  const plain = code
    .replace(/^(enable|diagnostic).*;.*\n/gm, "")
    .replace("@subgroup_size(LANES) ", "")
    .replace(/^alias (Left|Right) = .*$/gm, "alias $1 = vec2u;")
    .replace(/^alias Result = .*$/m, "alias Result = array<f32, FM * FN / LANES>;")
    .replace(/ < (HEAD_DIM|COLS|OTHERS|GROUP|BLOCKS|FOURS|PART|4u);/g, " < bound($1);")
    .replace(/^(@compute [\s\S]*?\) \{\n)/gm, "$1  own_lane = lane % LANES;\n")
    .replace(/subgroupMatrixLoad<(Left|Right), \w+>\(&halves, /g, "vec2u(")
    .replaceAll("subgroupMatrixLoad<Result, row_major>(&products, ", "load_result(")
    .replaceAll("subgroupMatrixStore<row_major>(&products, ", "store_result(")
    .replaceAll("subgroupMatrixMultiplyAccumulate(", "multiply_fragments(");
  return withUnits(plain, hasF16) + ATTENTION_FRAGMENTS;
}

const FRAGMENTS = `
var<private> own: u32; // number of the invocation in its subgroup
// Loops with a bound that compilers know are unrolled, and compile for a minute on lavapipe.
fn bound(n: u32) -> u32 { return n + (own >> 20u); }
fn multiply_fragments(a: Left, b: Right, c: Result) -> Result {
  var sums = c;
  for (var j = 0u; j < bound(M * N / LANES); j++) {
    let row = (own + LANES * j) / N;
    let col = (own + LANES * j) % N;
    for (var k = 0u; k < bound(K); k++) { sums[j] += f32(a_tile[a.x][a.y][a.z + row * STRIDE + k]) * f32(b_tile[b.x][b.y][b.z + col * STRIDE + k]); }
  }
  return sums;
}
fn store_fragment(at: u32, c: Result, stride: u32) {
  var m = c;
  for (var j = 0u; j < bound(M * N / LANES); j++) { c_tile[at + (own + LANES * j) / N * stride + (own + LANES * j) % N] = m[j]; }
}
fn load_fragment(at: u32, stride: u32) -> Result {
  var m: Result;
  for (var j = 0u; j < bound(M * N / LANES); j++) { m[j] = c_tile[at + (own + LANES * j) / N * stride + (own + LANES * j) % N]; }
  return m;
}
`;

const ATTENTION_FRAGMENTS = `
var<private> own_lane: u32; // number of the invocation in its subgroup
fn bound(n: u32) -> u32 { return n + (own_lane >> 20u); }
fn multiply_fragments(a: Left, b: Right, c: Result) -> Result {
  var sums = c;
  for (var j = 0u; j < bound(FM * FN / LANES); j++) {
    let row = (own_lane + LANES * j) / FN;
    let col = (own_lane + LANES * j) % FN;
    for (var k = 0u; k < bound(FK); k++) { sums[j] += f32(halves[a.x + row * a.y + k]) * f32(halves[b.x + col * b.y + k]); }
  }
  return sums;
}
fn store_result(at: u32, c: Result, stride: u32) {
  var m = c;
  for (var j = 0u; j < bound(FM * FN / LANES); j++) { products[at + (own_lane + LANES * j) / FN * stride + (own_lane + LANES * j) % FN] = m[j]; }
}
fn load_result(at: u32, stride: u32) -> Result {
  var m: Result;
  for (var j = 0u; j < bound(FM * FN / LANES); j++) { m[j] = products[at + (own_lane + LANES * j) / FN * stride + (own_lane + LANES * j) % FN]; }
  return m;
}
`;
