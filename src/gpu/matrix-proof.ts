// Do matrix units do what they promise? A small product by all the constructs that the kernels use tells.
import { type MatrixUnits, pinned } from "./subgroup-matrix.ts";

/** What came of trying. */
export interface Proof {
  /** The first that gave the right product. */
  readonly units?: MatrixUnits;
  /** Why none did. */
  readonly failure?: string;
  /** The device did not survive it. */
  readonly isLost?: boolean;
}

/** Subgroups of the trial, each with a product of its own. */
const SUBGROUPS = 2;
const STORAGE = 0x80;
const COPY_SRC = 0x4;
const COPY_DST = 0x8;
const MAP_READ = 0x1;

/** What element i of A, and of B, is for subgroup s: integers, so that products are exact in f16 too. */
const A = (i: number, s: number) => ((i + s) % 7) - 3;
const B = (i: number, s: number) => ((i + 2 * s) % 5) - 2;

/** A stored row by row, B column by column; each subgroup adds its product twice. */
function source({ m, n, k, type, lanes, pinned: isPinned }: MatrixUnits): string {
  const code = `enable chromium_experimental_subgroup_matrix;
enable f16;
enable subgroups;
diagnostic(off, chromium.subgroup_matrix_uniformity);
const M: u32 = ${m}u;
const N: u32 = ${n}u;
const K: u32 = ${k}u;
alias unit = ${type};
const LANES: u32 = ${lanes}u;
const STRIDE: u32 = K;
alias Left = subgroup_matrix_left<unit, K, M>;
alias Right = subgroup_matrix_right<unit, N, K>;
alias Result = subgroup_matrix_result<f32, N, M>;
@group(0) @binding(0) var<storage, read_write> product: array<f32>;
var<workgroup> a_tile: array<array<array<unit, M * STRIDE>, ${SUBGROUPS}u>, 2>;
var<workgroup> b_tile: array<array<array<unit, N * STRIDE>, ${SUBGROUPS}u>, 2>;
var<workgroup> c_tile: array<f32, ${SUBGROUPS}u * M * N>;
@compute @workgroup_size(${SUBGROUPS}u * LANES)
fn forward(@builtin(local_invocation_index) lane: u32) {
  let subgroup = lane / LANES;
  for (var i = lane % LANES; i < M * K; i += LANES) { a_tile[1][subgroup][i] = unit(f32((i + subgroup) % 7u) - 3.0); }
  for (var i = lane % LANES; i < K * N; i += LANES) { b_tile[1][subgroup][i] = unit(f32((i + 2u * subgroup) % 5u) - 2.0); }
  workgroupBarrier();
  var sums: array<Result, 1>;
  for (var i = 0u; i < 2u; i++) {
    let rows = subgroupMatrixLoad<Left, row_major>(&a_tile[1][subgroup], 0u, STRIDE);
    let cols = subgroupMatrixLoad<Right, col_major>(&b_tile[1][subgroup], 0u, STRIDE);
    sums[0] = subgroupMatrixMultiplyAccumulate(rows, cols, sums[0]);
    subgroupMatrixStore<row_major>(&c_tile, subgroup * M * N, sums[0], N);
    workgroupBarrier();
    sums[0] = subgroupMatrixLoad<Result, row_major>(&c_tile, subgroup * M * N, N);
    workgroupBarrier();
  }
  for (var i = lane; i < ${SUBGROUPS}u * M * N; i += ${SUBGROUPS}u * LANES) { product[i] = c_tile[i]; }
}
`;
  return isPinned ? pinned(code) : code;
}

/** What the trial gives, f32 `[subgroups, m, n]`. */
function expected({ m, n, k }: MatrixUnits): number[] {
  return Array.from({ length: SUBGROUPS * m * n }, (_, at) => {
    const [s, i, j] = [Math.floor(at / (m * n)), Math.floor((at % (m * n)) / n), at % n];
    let sum = 0;
    for (let p = 0; p < k; p++) sum += A(i * k + p, s) * B(j * k + p, s);
    return 2 * sum;
  });
}

/** Tries them in turns until one gives the right product. Never throws, and prints nothing. */
export async function proveMatrixUnits(
  device: GPUDevice,
  candidates: readonly MatrixUnits[],
): Promise<Proof> {
  let failure = "its matrices have no size that the kernels are written for";
  for (const units of candidates) {
    const { m, n, k, type, lanes } = units;
    const problem = await problemOf(device, units);
    if (problem === undefined) return { units };
    failure = `a trial product ${m}×${n}×${k} of ${type} by subgroups of ${lanes} ${problem}`;
    if (await isLost(device)) return { failure, isLost: true };
  }
  return { failure };
}

async function problemOf(device: GPUDevice, units: MatrixUnits): Promise<string | undefined> {
  try {
    const product = await multiply(device, units);
    return expected(units).every((value, i) => product[i] === value) ? undefined : "came out wrong";
  } catch (error) {
    return `failed: ${(error as Error).message.trim().split("\n")[0]}`;
  }
}

/** After an error: how long it may take until a loss is told, ms. */
const LOSS_TOLD_MS = 50;

const isLost = (device: GPUDevice): Promise<boolean> =>
  Promise.race([
    device.lost.then(() => true),
    new Promise<boolean>((resolve) => setTimeout(resolve, LOSS_TOLD_MS, false)),
  ]);

async function multiply(device: GPUDevice, units: MatrixUnits): Promise<Float32Array> {
  const pipeline = await compile(device, source(units));
  const size = 4 * SUBGROUPS * units.m * units.n;
  const product = device.createBuffer({ size, usage: STORAGE | COPY_SRC });
  const staging = device.createBuffer({ size, usage: COPY_DST | MAP_READ });
  try {
    const layout = pipeline.getBindGroupLayout(0);
    const entries = [{ binding: 0, resource: { buffer: product } }];
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.createBindGroup({ layout, entries }));
    pass.dispatchWorkgroups(1);
    pass.end();
    encoder.copyBufferToBuffer(product, 0, staging, 0, size);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(1); // GPUMapMode.READ
    return new Float32Array(staging.getMappedRange().slice(0));
  } finally {
    product.destroy();
    staging.destroy();
  }
}

async function compile(device: GPUDevice, code: string): Promise<GPUComputePipeline> {
  // What it says of the module is told by the pipeline, too; nobody else is to hear it.
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ label: "trial of matrix units", code });
  const compute = { module, entryPoint: "forward" };
  const heard = device.popErrorScope();
  const [problem, pipeline] = await Promise.all([
    heard,
    device.createComputePipelineAsync({ layout: "auto", compute }),
  ]);
  if (problem) throw new Error(problem.message);
  return pipeline;
}
