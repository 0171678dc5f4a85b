enable chromium_experimental_subgroup_matrix;
enable f16;
enable subgroups;
// C = alpha op(A) op(B) + H op(E) + beta C  on matrix units: operands rounded to `unit`, sums in f32; rows in fours
// DOWN x ACROSS subgroups own TILE_M x TILE_N of C, each ROWS x COLS fragments of M x N. The next DEPTH steps of the sum
// are on their way to registers while these are multiplied, and are then staged in the other of two places.
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
@group(0) @binding(1) var<storage, read> a: array<a_stored>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;        // B where FORMAT is f32
@group(0) @binding(3) var<storage, read> b_packed: array<packed>; // B as words else; the same buffer
@group(0) @binding(4) var<storage, read_write> c: array<c_stored>;
@group(0) @binding(5) var<storage, read> h: array<vec4f>;        // [m, ldh]
@group(0) @binding(6) var<storage, read> e: array<vec4f>;        // like B, f32
@group(0) @binding(7) var<storage, read> scales: array<u32>;     // of B's blocks
@group(0) @binding(8) var<storage, read> zeros: array<u32>;

alias a_stored = vec4f;           // vec4<f16> in mixed precision
alias c_stored = f32;             // f16
const M: u32 = 16u;               // a fragment of C is the sum of products of M x K by K x N
const N: u32 = 16u;
const K: u32 = 16u;
alias unit = f16;                 // what the units multiply: f16 or f32
const LANES: u32 = 32u;           // of a subgroup
const ROWS: u32 = 2u;             // at most four
const COLS: u32 = 2u;
const DOWN: u32 = 2u;
const ACROSS: u32 = 2u;
const DEPTH: u32 = 32u;           // whole fragments
const TILE_M: u32 = DOWN * ROWS * M;
const TILE_N: u32 = ACROSS * COLS * N;
const INVOCATIONS: u32 = DOWN * ACROSS * LANES;
const STRIDE: u32 = DEPTH + 8u;   // of a staged row of DEPTH, so that rows lie in different banks
const FOURS: u32 = DEPTH / 4u;
const A_BLOCKS: u32 = TILE_M * DEPTH / 16u; // of 4x4, that are staged; each invocation takes every INVOCATIONS-th
const B_BLOCKS: u32 = TILE_N * DEPTH / 16u;
const A_OWN: u32 = (A_BLOCKS + INVOCATIONS - 1u) / INVOCATIONS;
const B_OWN: u32 = (B_BLOCKS + INVOCATIONS - 1u) / INVOCATIONS;
const A_TRANSPOSED: bool = false; // A is stored [k, m]
const B_TRANSPOSED: bool = false; // B is stored [n, k]
const EXTENDED: bool = false;     // there is an H and an E
// #import "common/weight.wgsl"
// #import "common/weight-table.wgsl"
// #import "common/weight-vectors.wgsl"
// #import "common/matmul-operands.wgsl"

var<workgroup> c_tile: array<f32, DOWN * ACROSS * M * N>; // one fragment a subgroup
// #opaque
// Two stages, in each the rows of A, and the columns of B, of a fragment together: where a fragment lies is then a constant.
var<workgroup> a_tile: array<array<array<unit, M * STRIDE>, DOWN * ROWS>, 2>;
var<workgroup> b_tile: array<array<array<unit, N * STRIDE>, ACROSS * COLS>, 2>;

alias Left = subgroup_matrix_left<unit, K, M>;
alias Right = subgroup_matrix_right<unit, N, K>;
alias Result = subgroup_matrix_result<f32, N, M>;
alias Sums = array<array<Result, COLS>, ROWS>;

// Row and step of block i of a tile. Neighbours lie beside each other in memory: along the steps or across them.
fn place(i: u32, rows: u32, along: bool) -> vec2u {
  if (along) { return 4u * vec2u(i / FOURS, i % FOURS); }
  return 4u * vec2u(i % (rows / 4u), i / (rows / 4u));
}

// Block i of the stage at p: the sum over k is padded to whole stages, then comes k_extra.
fn fetch_a(i: u32, row: u32, p: u32, padded_k: u32) -> mat4x4f {
  let at = place(i, TILE_M, !A_TRANSPOSED) + vec2u(row, p);
  if (EXTENDED && p >= padded_k) { return load_h(at.x, at.y - padded_k); }
  return load_a(at.x, at.y);
}

fn fetch_b(i: u32, col: u32, p: u32, padded_k: u32) -> mat4x4f {
  let at = place(i, TILE_N, B_TRANSPOSED) + vec2u(col, p);
  if (EXTENDED && p >= padded_k) { return load_e(at.y - padded_k, at.x); }
  return load_b(at.y, at.x);
}

fn stage_a(half: u32, row: u32, step: u32, values: vec4f) {
  let i = row % M * STRIDE + 4u * (step % FOURS);
  a_tile[half][row / M][i] = unit(values.x);
  a_tile[half][row / M][i + 1u] = unit(values.y);
  a_tile[half][row / M][i + 2u] = unit(values.z);
  a_tile[half][row / M][i + 3u] = unit(values.w);
}

fn stage_b(half: u32, col: u32, step: u32, values: vec4f) {
  let i = col % N * STRIDE + 4u * (step % FOURS);
  b_tile[half][col / N][i] = unit(values.x);
  b_tile[half][col / N][i + 1u] = unit(values.y);
  b_tile[half][col / N][i + 2u] = unit(values.z);
  b_tile[half][col / N][i + 3u] = unit(values.w);
}

var<private> a_next: array<mat4x4f, A_OWN>;
var<private> b_next: array<mat4x4f, B_OWN>;

fn fetch(lane: u32, corner: vec2u, p: u32, padded_k: u32) {
  for (var own = 0u; own < A_OWN; own++) {
    let i = lane + own * INVOCATIONS;
    if (A_BLOCKS % INVOCATIONS == 0u || i < A_BLOCKS) { a_next[own] = fetch_a(i, corner.x, p, padded_k); }
  }
  for (var own = 0u; own < B_OWN; own++) {
    let i = INVOCATIONS - 1u - lane + own * INVOCATIONS;
    if (B_BLOCKS % INVOCATIONS == 0u || i < B_BLOCKS) { b_next[own] = fetch_b(i, corner.y, p, padded_k); }
  }
}

// Columns of the blocks are steps of the sum, rows of the tiles are rows of A and columns of B.
fn stage(lane: u32, half: u32) {
  for (var own = 0u; own < A_OWN; own++) {
    let i = lane + own * INVOCATIONS;
    if (A_BLOCKS % INVOCATIONS == 0u || i < A_BLOCKS) {
      let at = place(i, TILE_M, !A_TRANSPOSED);
      let rows = transpose(a_next[own]);
      stage_a(half, at.x, at.y / 4u, rows[0]);
      stage_a(half, at.x + 1u, at.y / 4u, rows[1]);
      stage_a(half, at.x + 2u, at.y / 4u, rows[2]);
      stage_a(half, at.x + 3u, at.y / 4u, rows[3]);
    }
  }
  for (var own = 0u; own < B_OWN; own++) {
    let i = INVOCATIONS - 1u - lane + own * INVOCATIONS;
    if (B_BLOCKS % INVOCATIONS == 0u || i < B_BLOCKS) {
      let at = place(i, TILE_N, B_TRANSPOSED);
      let cols = transpose(b_next[own]);
      stage_b(half, at.x, at.y / 4u, cols[0]);
      stage_b(half, at.x + 1u, at.y / 4u, cols[1]);
      stage_b(half, at.x + 2u, at.y / 4u, cols[2]);
      stage_b(half, at.x + 3u, at.y / 4u, cols[3]);
    }
  }
}

// Adds the products of a stage, of fragments from `down` of A and from `right` of B.
fn multiply(sums: ptr<function, Sums>, half: u32, down: u32, right: u32) {
  for (var step = 0u; step < DEPTH; step += K) {
    var cols: array<Right, COLS>;
    for (var j = 0u; j < COLS; j++) {
      cols[j] = subgroupMatrixLoad<Right, col_major>(&b_tile[half][right + j], step, STRIDE);
    }
    for (var i = 0u; i < ROWS; i++) {
      let rows = subgroupMatrixLoad<Left, row_major>(&a_tile[half][down + i], step, STRIDE);
      for (var j = 0u; j < COLS; j++) {
        (*sums)[i][j] = subgroupMatrixMultiplyAccumulate(rows, cols[j], (*sums)[i][j]);
      }
    }
  }
}

@compute @workgroup_size(INVOCATIONS)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let corner = group.yx * vec2u(TILE_M, TILE_N);
  let subgroup = lane / LANES;
  let down = subgroup / ACROSS * ROWS; // the first of its fragments of A, and of B
  let right = subgroup % ACROSS * COLS;
  let padded_k = (params.k + DEPTH - 1u) / DEPTH * DEPTH;
  let start = group.z * params.slice;
  var end = min(start + params.slice, padded_k);
  if (EXTENDED && end == padded_k) { end += params.k_extra; }
  var sums: Sums;
  var half = 0u;
  for (var p = start; p < end + DEPTH; p += DEPTH) {
    if (p < end) { fetch(lane, corner, p, padded_k); }
    if (p > start) {
      multiply(&sums, half, down, right);
      half = 1u - half;
    }
    if (p < end) { stage(lane, half); }
    workgroupBarrier(); // this stage is written, and the one before it read
  }
  // Fragments have no accessible elements: they go through workgroup memory, one a subgroup at a time.
  let base = subgroup * M * N;
  // Where C begins, or the part of it that this slice of the sum gives.
  let own = params.c_offset + group.z * params.m * params.ldc;
  let at = Place(own, corner + vec2u(down * M, right * N), base, lane % LANES);
  write_row(at, sums[0], 0u);
  if (ROWS > 1u) { write_row(at, sums[min(1u, ROWS - 1u)], 1u); }
  if (ROWS > 2u) { write_row(at, sums[min(2u, ROWS - 1u)], 2u); }
  if (ROWS > 3u) { write_row(at, sums[ROWS - 1u], 3u); }
}

// Where C begins, the first row and column of the subgroup's part, where its fragment is staged, and the lane.
struct Place { own: u32, corner: vec2u, base: u32, lane: u32 }

// Written out, as some compilers keep an array in memory where they unroll no loop with a barrier.
fn write_row(at: Place, row: array<Result, COLS>, i: u32) {
  write(at, row[0], i, 0u);
  if (COLS > 1u) { write(at, row[min(1u, COLS - 1u)], i, 1u); }
  if (COLS > 2u) { write(at, row[min(2u, COLS - 1u)], i, 2u); }
  if (COLS > 3u) { write(at, row[COLS - 1u], i, 3u); }
}

// Adds fragment (i, j) of the subgroup to C, within its bounds.
fn write(at: Place, values: Result, i: u32, j: u32) {
  subgroupMatrixStore<row_major>(&c_tile, at.base, values, N);
  workgroupBarrier();
  let corner = at.corner + vec2u(i * M, j * N);
  for (var k = at.lane; k < M * N; k += LANES) {
    let place = corner + vec2u(k / N, k % N);
    if (place.x < params.m && place.y < params.n) {
      let to = at.own + place.x * params.ldc + place.y;
      var value = c_tile[at.base + k];
      if (params.beta != 0.0) { value += params.beta * f32(c[to]); }
      c[to] = c_stored(value);
    }
  }
  workgroupBarrier();
}
