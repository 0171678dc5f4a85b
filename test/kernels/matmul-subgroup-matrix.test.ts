import { describe, expect, test } from "vitest";
import shader from "../../shaders/matmul-subgroup-matrix.wgsl";
import { fromArray } from "../../src/gpu/tensor.ts";
import type { WgslModule } from "../../src/gpu/wgsl.ts";
import type { Layout } from "../../src/kernels/matmul.ts";
import { randomValues } from "../reference/gradient.ts";
import { matmulReference } from "../reference/matmul.ts";
import { floats, testDevice } from "../support/device.ts";

/**
 * The subgroup-matrix operations in plain WGSL: operands are where they are staged, of a result an invocation holds every
 * 32nd element. Everything around them (staging, addresses, edges, the branch, stores) runs as it stands on any device.
 * f16 values are packed in pairs, so that a device without the type rounds to it too.
 */
const FRAGMENTS = `
alias Left = u32;
alias Right = u32;
alias Result = array<f32, 8>;
var<private> own: u32; // number of the invocation in its subgroup
// Loops with a bound that compilers know are unrolled, and compile for a minute on lavapipe.
fn bound(n: u32) -> u32 { return n + (params.m >> 31u); }
fn half(pair: u32, index: u32) -> f32 { return unpack2x16float(pair)[index % 2u]; }
fn stage_a(i: u32, values: vec4f) {
  a_tile[i / 2u] = pack2x16float(values.xy);
  a_tile[i / 2u + 1u] = pack2x16float(values.zw);
}
fn stage_b(i: u32, values: vec4f) {
  b_tile[i / 2u] = pack2x16float(values.xy);
  b_tile[i / 2u + 1u] = pack2x16float(values.zw);
}
fn load(at: u32, stride: u32) -> u32 { return at; }
fn multiply(a: Left, b: Right, c: Result) -> Result {
  var sums = c;
  for (var j = 0u; j < bound(8u); j++) {
    let row = (own + 32u * j) / 16u;
    let col = own % 16u;
    for (var k = 0u; k < bound(16u); k++) { sums[j] += half(a_tile[(a + row * STRIDE + k) / 2u], k) * half(b_tile[(b + col * STRIDE + k) / 2u], k); }
  }
  return sums;
}
fn store_result(at: u32, c: Result, stride: u32) {
  var m = c;
  for (var j = 0u; j < bound(8u); j++) { c_tile[at + (own + 32u * j) / 16u * stride + own % 16u] = m[j]; }
}
`;

function emulated({ code, name, ...rest }: WgslModule): WgslModule {
  const plain = code
    .replace(/^(enable|diagnostic).*;.*\n/gm, "")
    .replace("let row = group.y * TILE;", "own = lane % 32u;\n  let row = group.y * TILE;")
    .replace(/^alias (Left|Right|Result) = .*\n/gm, "")
    .replace(/^fn stage_[ab][\s\S]*?^}\n/gm, "")
    .replaceAll("array<f16, TILE * STRIDE>", "array<u32, TILE * STRIDE / 2u>")
    .replaceAll("subgroupMatrixLoad<Left, row_major>(&a_tile, ", "load(")
    .replaceAll("subgroupMatrixLoad<Right, col_major>(&b_tile, ", "load(")
    .replaceAll("subgroupMatrixMultiplyAccumulate(", "multiply(")
    .replaceAll("subgroupMatrixStore<row_major>(&c_tile, ", "store_result(");
  return { ...rest, name: `${name}-emulated`, code: plain + FRAGMENTS, aliases: {} };
}

const module = emulated(shader);

interface Case {
  layout: Layout;
  m: number;
  n: number;
  k: number;
  r?: number;
  beta?: number;
  /** Steps of the sum a layer of workgroups. */
  slice?: number;
}

async function run({
  layout,
  m,
  n,
  k,
  r = 0,
  beta = 0,
  slice = 64,
}: Case): Promise<{ got: Float64Array; wanted: Float64Array }> {
  const device = await testDevice();
  const [a, b, start] = [randomValues(m * k, 1), randomValues(n * k, 2), randomValues(m * n, 3)];
  const [h, e] = [randomValues(m * r, 4), randomValues(n * r, 5)];
  const A = floats(device, a, layout === "TN" ? [k, m] : [m, k]);
  const B = floats(device, b, layout === "NT" ? [n, k] : [k, n]);
  const slices = Math.ceil(k / slice);
  const C = fromArray(
    device,
    Float32Array.from({ length: slices * m * n }, (_, i) => start[i % (m * n)]!),
    [slices, m, n],
  );
  const [H, E] = r
    ? [floats(device, h, [m, r]), floats(device, e, layout === "NT" ? [n, r] : [r, n])]
    : [A, A];
  device.run(module, "forward", {
    bind: { a: A, b: B, b_packed: B, c: C, h: H, e: E, scales: B, zeros: B },
    params: {
      ...{ m, n, k, k_extra: r, lda: A.columns, ldb: B.columns, ldc: n, ldh: r },
      ...{
        a_offset: 0,
        b_offset: 0,
        b_first: 0,
        c_offset: 0,
        e_offset: 0,
        h_offset: 0,
        alpha: 0.5,
        beta,
        slice,
      },
    },
    constants: { A_TRANSPOSED: layout === "TN", B_TRANSPOSED: layout === "NT", EXTENDED: r > 0 },
    grid: [Math.ceil(n / 64), Math.ceil(m / 64), slices],
  });
  const branch = r ? matmulReference(h, e, { m, n, k: r, layout }) : new Float64Array(m * n);
  const main = matmulReference(a, b, { m, n, k, layout });
  const parts = await C.read();
  const sum = (i: number) =>
    Array.from({ length: slices }, (_, s) => parts[s * m * n + i]!).reduce((a, b) => a + b);
  return {
    got: Float64Array.from(start, (_, i) => sum(i)),
    wanted: main.map((value, i) => 0.5 * value + branch[i]! + beta * start[i]!),
  };
}

describe("subgroup-matrix kernel with emulated fragments", () => {
  test.each<Case>([
    { layout: "NT", m: 20, n: 70, k: 36, r: 8 },
    { layout: "TN", m: 36, n: 72, k: 13, beta: 1 },
    { layout: "NN", m: 12, n: 20, k: 72, r: 4, slice: 32 },
  ])("$layout $m×$n×$k", async (problem) => {
    const { got, wanted } = await run(problem);
    expect(got).toBeClose(wanted, 2e-3); // operands have 11 bits
  });
});

test("the file itself uses the extension as the probe does", () => {
  expect(shader.code).toContain("subgroupMatrixLoad<Left, row_major>(&a_tile, left + i, STRIDE)");
  const code = module.code.replace(/\/\/.*$/gm, "");
  expect(code).not.toMatch(/subgroup(Matrix|_matrix)|f16[(,]/);
});
