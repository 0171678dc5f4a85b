// C = alpha op(A) op(B) + H op(E) + beta C,  by tiles in workgroup memory; rows of A, B, H and E in fours: for GPUs
// 16x16 invocations own TILE x TILE of C, each 4x4 of every 64x64 in registers. Half of them stage A, half B, DEPTH
// steps of the sum at a time; the next stage is loaded into registers while this one is multiplied.
struct Params {
  m: u32, n: u32, k: u32, k_extra: u32,
  lda: u32, ldb: u32, ldc: u32, ldh: u32,
  a_offset: u32, b_offset: u32, c_offset: u32, e_offset: u32, h_offset: u32,
  b_first: u32, // values of the weight before what is bound of B
  alpha: f32, beta: f32,
  slice: u32 // steps of the sum, whole stages, that one layer of workgroups computes; the next one's C lies behind
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<a_stored>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;        // B where FORMAT is f32
@group(0) @binding(3) var<storage, read> b_packed: array<packed>; // B as words else; the same buffer
@group(0) @binding(4) var<storage, read_write> c: array<c_stored>;
@group(0) @binding(5) var<storage, read> h: array<vec4f>;        // [m, ldh]
@group(0) @binding(6) var<storage, read> e: array<vec4f>;        // like B, f32
@group(0) @binding(7) var<storage, read> scales: array<u32>;     // of B's blocks
@group(0) @binding(8) var<storage, read> zeros: array<u32>;

alias a_stored = vec4f;          // vec4<f16> in mixed precision
alias c_stored = f32;            // f16
const TILE: u32 = 64u;           // 64 or 128
const QUADS: u32 = TILE / 4u;    // rows, or columns, of a block in fours
const HALVES: u32 = TILE / 64u;  // of which an invocation owns four rows and columns each
const DEPTH: u32 = 2048u / TILE; // so that 128 invocations stage one operand, 4x4 each, and both fill 16 KB
const FOURS: u32 = DEPTH / 4u;   // steps of a stage in fours
const A_TRANSPOSED: bool = false; // A is stored [k, m]
const B_TRANSPOSED: bool = false; // B is stored [n, k]
const EXTENDED: bool = false;     // there is an H and an E
// #import "common/weight.wgsl"
// #import "common/weight-table.wgsl"
// #import "common/weight-vectors.wgsl"
// #import "common/matmul-operands.wgsl"
// #import "common/tile-product.wgsl"

// What an invocation stages of the DEPTH steps from p: the sum over k is padded to whole stages, then comes k_extra.
fn load(lane: u32, group: vec2u, p: u32, padded_k: u32) -> mat4x4f {
  let at = p + lane % 128u / QUADS * 4u;
  let quad = lane % QUADS * 4u;
  if (lane < 128u) {
    if (EXTENDED && p >= padded_k) { return load_h(group.y * TILE + quad, at - padded_k); }
    return load_a(group.y * TILE + quad, at);
  }
  if (EXTENDED && p >= padded_k) { return load_e(at - padded_k, group.x * TILE + quad); }
  return load_b(at, group.x * TILE + quad);
}

@compute @workgroup_size(16, 16)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) id: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let padded_k = (params.k + DEPTH - 1u) / DEPTH * DEPTH;
  let start = group.z * params.slice;
  var end = min(start + params.slice, padded_k);
  if (EXTENDED && end == padded_k) { end += params.k_extra; }
  var next = load(lane, group.xy, start, padded_k);
  for (var p = start; p < end; p += DEPTH) {
    workgroupBarrier(); // the tiles may still be read
    stage(lane, next);
    workgroupBarrier();
    if (p + DEPTH < end) { next = load(lane, group.xy, p + DEPTH, padded_k); }
    for (var i = 0u; i < FOURS; i++) {
      multiply(i, 0u, id);
      multiply(i, 1u, id);
      multiply(i, 2u, id);
      multiply(i, 3u, id);
    }
  }
  let row = group.y * TILE + 4u * id.y;
  let col = group.x * TILE + 4u * id.x;
  // Where C begins, or the part of it that this slice of the sum gives.
  let own = params.c_offset + group.z * params.m * params.ldc;
  store(own, row, col, c00);
  if (TILE > 64u) {
    store(own, row, col + 64u, c01);
    store(own, row + 64u, col, c10);
    store(own, row + 64u, col + 64u, c11);
  }
}

fn store(own: u32, row: u32, col: u32, values: mat4x4f) {
  store_row(own, row, col, values[0]);
  store_row(own, row + 1u, col, values[1]);
  store_row(own, row + 2u, col, values[2]);
  store_row(own, row + 3u, col, values[3]);
}

fn store_row(own: u32, row: u32, col: u32, values: vec4f) {
  if (row >= params.m) { return; }
  put(own + row * params.ldc, col, values.x);
  put(own + row * params.ldc, col + 1u, values.y);
  put(own + row * params.ldc, col + 2u, values.z);
  put(own + row * params.ldc, col + 3u, values.w);
}

// Element `col` of the row that begins at row_start.
fn put(row_start: u32, col: u32, value: f32) {
  if (col >= params.n) { return; }
  let i = row_start + col;
  var sum = value;
  if (params.beta != 0.0) { sum += params.beta * f32(c[i]); }
  c[i] = c_stored(sum);
}
