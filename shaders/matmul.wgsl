// C = alpha op(A) op(B) + H op(E) + beta C,  op(X) = X or its transpose: the portable floor, any size
// 8x8 invocations own a 32x32 block of C; each accumulates 4 rows x 4 columns, 8 apart, in four vectors.
struct Params {
  m: u32, n: u32, k: u32, k_extra: u32, // C is m x n; A and B meet in k, H and E in k_extra
  lda: u32, ldb: u32, ldc: u32, ldh: u32, // row lengths of A, B, C and H as stored
  // first element used: of columns of a wider matrix, or when B is one row window of a weight
  a_offset: u32, b_offset: u32, c_offset: u32, e_offset: u32, h_offset: u32,
  b_first: u32, // values of the weight before what is bound of B
  alpha: f32, beta: f32
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<a_stored>;
@group(0) @binding(2) var<storage, read> b: array<u32>; // words of common/weight.wgsl
@group(0) @binding(3) var<storage, read_write> c: array<c_stored>;
@group(0) @binding(4) var<storage, read> h: array<f32>; // [m, ldh], the LoRA branch's inner activations
@group(0) @binding(5) var<storage, read> e: array<f32>; // like B, f32
@group(0) @binding(6) var<storage, read> scales: array<u32>; // of B's blocks
@group(0) @binding(7) var<storage, read> zeros: array<u32>;

alias a_stored = f32;             // f16 in mixed precision
alias c_stored = f32;
const A_TRANSPOSED: bool = false; // A is stored [k, m]
const B_TRANSPOSED: bool = false; // B is stored [n, k]
// #import "common/weight.wgsl"
// #import "common/weight-table.wgsl"

fn a_at(row: u32, p: u32) -> f32 {
  if (A_TRANSPOSED) { return f32(a[params.a_offset + p * params.lda + row]); }
  return f32(a[params.a_offset + row * params.lda + p]);
}

fn b_at(p: u32, col: u32) -> f32 {
  let index = params.b_offset + select(p * params.ldb + col, col * params.ldb + p, B_TRANSPOSED);
  return decode(b[word_of(index)], index);
}

fn e_at(p: u32, col: u32) -> f32 {
  if (B_TRANSPOSED) { return e[params.e_offset + col * params.k_extra + p]; }
  return e[params.e_offset + p * params.n + col];
}

@compute @workgroup_size(8, 8)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) lane: vec3u) {
  // Rows and columns past the edge are computed from the last valid ones and not stored.
  let rows = vec4u(group.y * 32u + lane.y) + vec4u(0u, 8u, 16u, 24u);
  let cols = vec4u(group.x * 32u + lane.x) + vec4u(0u, 8u, 16u, 24u);
  let r = min(rows, vec4u(params.m - 1u));
  let s = min(cols, vec4u(params.n - 1u));
  var c0 = vec4f();
  var c1 = vec4f();
  var c2 = vec4f();
  var c3 = vec4f();
  for (var p = 0u; p < params.k; p++) {
    let weights = vec4f(b_at(p, s.x), b_at(p, s.y), b_at(p, s.z), b_at(p, s.w));
    c0 += a_at(r.x, p) * weights;
    c1 += a_at(r.y, p) * weights;
    c2 += a_at(r.z, p) * weights;
    c3 += a_at(r.w, p) * weights;
  }
  c0 *= params.alpha;
  c1 *= params.alpha;
  c2 *= params.alpha;
  c3 *= params.alpha;
  for (var p = 0u; p < params.k_extra; p++) {
    let weights = vec4f(e_at(p, s.x), e_at(p, s.y), e_at(p, s.z), e_at(p, s.w));
    c0 += h[params.h_offset + r.x * params.ldh + p] * weights;
    c1 += h[params.h_offset + r.y * params.ldh + p] * weights;
    c2 += h[params.h_offset + r.z * params.ldh + p] * weights;
    c3 += h[params.h_offset + r.w * params.ldh + p] * weights;
  }
  store_row(rows.x, cols, c0);
  store_row(rows.y, cols, c1);
  store_row(rows.z, cols, c2);
  store_row(rows.w, cols, c3);
}

fn store_row(row: u32, cols: vec4u, values: vec4f) {
  if (row >= params.m) { return; }
  store(row, cols.x, values.x);
  store(row, cols.y, values.y);
  store(row, cols.z, values.z);
  store(row, cols.w, values.w);
}

fn store(row: u32, col: u32, value: f32) {
  if (col >= params.n) { return; }
  let index = params.c_offset + row * params.ldc + col;
  var sum = value;
  if (params.beta != 0.0) { sum += params.beta * f32(c[index]); }
  c[index] = c_stored(sum);
}
