enable chromium_experimental_subgroup_matrix;
enable f16;
enable subgroups;
// C = alpha op(A) op(B) + H op(E) + beta C  on matrix units: operands rounded to f16, sums in f32; rows in fours
// Four subgroups of 32 own 64x64 of C, each 32x32 as 2x2 fragments of 16x16. Every invocation stages 4x4 of A and 4x4 of
// B, 32 steps of the sum at a time; the next stage is loaded into registers while this one is multiplied.
diagnostic(off, chromium.subgroup_matrix_uniformity); // each subgroup has fragments of its own
struct Params {
  m: u32, n: u32, k: u32, k_extra: u32,
  lda: u32, ldb: u32, ldc: u32, ldh: u32,
  a_offset: u32, b_offset: u32, c_offset: u32, e_offset: u32, h_offset: u32,
  b_first: u32, // values of the weight before what is bound of B
  alpha: f32, beta: f32,
  slice: u32 // steps of the sum, whole stages, that one layer of workgroups computes; the next one's C lies behind
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;        // B where FORMAT is f32
@group(0) @binding(3) var<storage, read> b_packed: array<packed>; // B as words else; the same buffer
@group(0) @binding(4) var<storage, read_write> c: array<f32>;
@group(0) @binding(5) var<storage, read> h: array<vec4f>;        // [m, ldh]
@group(0) @binding(6) var<storage, read> e: array<vec4f>;        // like B, f32
@group(0) @binding(7) var<storage, read> scales: array<u32>;     // of B's blocks
@group(0) @binding(8) var<storage, read> zeros: array<u32>;

const TILE: u32 = 64u;
const DEPTH: u32 = 32u;
const STRIDE: u32 = 40u;          // of a staged row of DEPTH, so that rows lie in different banks
const A_TRANSPOSED: bool = false; // A is stored [k, m]
const B_TRANSPOSED: bool = false; // B is stored [n, k]
const EXTENDED: bool = false;     // there is an H and an E
// #import "common/weight.wgsl"
// #import "common/weight-table.wgsl"
// #import "common/weight-vectors.wgsl"
// #import "common/matmul-operands.wgsl"

var<workgroup> c_tile: array<f32, 4u * 256u>; // one fragment a subgroup
// #opaque
var<workgroup> a_tile: array<f16, TILE * STRIDE>; // row by row of A
var<workgroup> b_tile: array<f16, TILE * STRIDE>; // column by column of B

alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Result = subgroup_matrix_result<f32, 16, 16>;

fn stage_a(i: u32, values: vec4f) {
  a_tile[i] = f16(values.x);
  a_tile[i + 1u] = f16(values.y);
  a_tile[i + 2u] = f16(values.z);
  a_tile[i + 3u] = f16(values.w);
}

fn stage_b(i: u32, values: vec4f) {
  b_tile[i] = f16(values.x);
  b_tile[i + 1u] = f16(values.y);
  b_tile[i + 2u] = f16(values.z);
  b_tile[i + 3u] = f16(values.w);
}

// Columns of the blocks are steps of the sum, rows of the tiles are rows of A and columns of B.
fn stage(i: u32, a_part: mat4x4f, b_part: mat4x4f) {
  let rows = transpose(a_part);
  let cols = transpose(b_part);
  stage_a(i, rows[0]);
  stage_a(i + STRIDE, rows[1]);
  stage_a(i + 2u * STRIDE, rows[2]);
  stage_a(i + 3u * STRIDE, rows[3]);
  stage_b(i, cols[0]);
  stage_b(i + STRIDE, cols[1]);
  stage_b(i + 2u * STRIDE, cols[2]);
  stage_b(i + 3u * STRIDE, cols[3]);
}

@compute @workgroup_size(128)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.y * TILE;
  let col = group.x * TILE;
  let quad = lane % 16u * 4u;
  let step = lane / 16u * 4u;
  let subgroup = lane / 32u;
  let left = subgroup / 2u * 32u * STRIDE; // where the subgroup's rows of A are staged, and its columns of B
  let right = subgroup % 2u * 32u * STRIDE;
  var c00: Result;
  var c01: Result;
  var c10: Result;
  var c11: Result;
  let padded_k = (params.k + DEPTH - 1u) / DEPTH * DEPTH;
  let start = group.z * params.slice;
  var end = min(start + params.slice, padded_k);
  if (EXTENDED && end == padded_k) { end += params.k_extra; }
  var a_next = load_a(row + quad, start + step);
  var b_next = load_b(start + step, col + quad);
  for (var p = start; p < end; p += DEPTH) {
    workgroupBarrier(); // the tiles may still be read
    stage(quad * STRIDE + step, a_next, b_next);
    workgroupBarrier();
    let next = p + DEPTH + step;
    if (EXTENDED && p + DEPTH >= padded_k) {
      a_next = load_h(row + quad, next - padded_k);
      b_next = load_e(next - padded_k, col + quad);
    } else {
      a_next = load_a(row + quad, next);
      b_next = load_b(next, col + quad);
    }
    for (var i = 0u; i < DEPTH; i += 16u) {
      let a0 = subgroupMatrixLoad<Left, row_major>(&a_tile, left + i, STRIDE);
      let a1 = subgroupMatrixLoad<Left, row_major>(&a_tile, left + 16u * STRIDE + i, STRIDE);
      let b0 = subgroupMatrixLoad<Right, col_major>(&b_tile, right + i, STRIDE);
      let b1 = subgroupMatrixLoad<Right, col_major>(&b_tile, right + 16u * STRIDE + i, STRIDE);
      c00 = subgroupMatrixMultiplyAccumulate(a0, b0, c00);
      c01 = subgroupMatrixMultiplyAccumulate(a0, b1, c01);
      c10 = subgroupMatrixMultiplyAccumulate(a1, b0, c10);
      c11 = subgroupMatrixMultiplyAccumulate(a1, b1, c11);
    }
  }
  // Fragments have no accessible elements: they go through workgroup memory, one a subgroup at a time.
  let own_row = row + subgroup / 2u * 32u;
  let own_col = col + subgroup % 2u * 32u;
  let base = subgroup * 256u;
  // Where C begins, or the part of it that this slice of the sum gives.
  let own = params.c_offset + group.z * params.m * params.ldc;
  subgroupMatrixStore<row_major>(&c_tile, base, c00, 16u);
  write(own, own_row, own_col, base, lane % 32u);
  subgroupMatrixStore<row_major>(&c_tile, base, c01, 16u);
  write(own, own_row, own_col + 16u, base, lane % 32u);
  subgroupMatrixStore<row_major>(&c_tile, base, c10, 16u);
  write(own, own_row + 16u, own_col, base, lane % 32u);
  subgroupMatrixStore<row_major>(&c_tile, base, c11, 16u);
  write(own, own_row + 16u, own_col + 16u, base, lane % 32u);
}

// Adds the staged fragment to C, within its bounds.
fn write(own: u32, row: u32, col: u32, base: u32, lane: u32) {
  workgroupBarrier();
  for (var i = lane; i < 256u; i += 32u) {
    if (row + i / 16u < params.m && col + i % 16u < params.n) {
      let at = own + (row + i / 16u) * params.ldc + col + i % 16u;
      var value = c_tile[base + i];
      if (params.beta != 0.0) { value += params.beta * c[at]; }
      c[at] = value;
    }
  }
  workgroupBarrier();
}
