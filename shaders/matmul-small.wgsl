// C = alpha op(A) op(B) + H op(E) + beta C,  where C is small: the invocations of a workgroup share its sums; for GPUs
// 256 invocations own ROWS x COLS of C in GROUPS. Each group takes every GROUPS-th four steps of the sum, each of its
// invocations 4x4 of the block; then all add up what the groups have, in the same order each time.
struct Params {
  m: u32, n: u32, k: u32, k_extra: u32,
  lda: u32, ldb: u32, ldc: u32, ldh: u32,
  a_offset: u32, b_offset: u32, c_offset: u32, e_offset: u32, h_offset: u32,
  b_first: u32, // values of the weight before what is bound of B
  alpha: f32, beta: f32,
  slice: u32 // steps of the sum, in fours, that one layer of workgroups computes; the next one's C lies behind
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

alias a_stored = vec4f; // vec4<f16> in mixed precision
alias c_stored = f32;   // f16
const ROWS: u32 = 32u; // of a block: 8, 16 or 32, as are COLS
const COLS: u32 = 32u;
const A_TRANSPOSED: bool = false; // A is stored [k, m]
const B_TRANSPOSED: bool = false; // B is stored [n, k]
// #import "common/weight.wgsl"
// #import "common/weight-table.wgsl"
// #import "common/weight-vectors.wgsl"
// #import "common/small-blocks.wgsl"

fn load_a(at: vec4u) -> mat4x4f { return mat4x4f(vec4f(a[at.x]), vec4f(a[at.y]), vec4f(a[at.z]), vec4f(a[at.w])); }

fn load_b(at: vec4u) -> mat4x4f { return mat4x4f(decode4(at.x), decode4(at.y), decode4(at.z), decode4(at.w)); }

fn load_h(at: vec4u) -> mat4x4f { return mat4x4f(h[at.x], h[at.y], h[at.z], h[at.w]); }

fn load_e(at: vec4u) -> mat4x4f { return mat4x4f(e[at.x], e[at.y], e[at.z], e[at.w]); }

// The part of an invocation's 4x4 of C that its group sums up, of the steps of one slice.
fn own_sum(place: Place, row: u32, col: u32, layer: u32) -> mat4x4f {
  let rows = walk(params.a_offset, row, params.m, params.lda, !A_TRANSPOSED);
  let cols = walk(params.b_offset, col, params.n, params.ldb, B_TRANSPOSED);
  let start = layer * params.slice;
  let end = min(start + params.slice, params.k);
  var sum = mat4x4f();
  for (var quad = start / 4u + place.part; quad < (end + 3u) / 4u; quad += GROUPS) {
    var row_at = step_of(rows, quad);
    var col_at = step_of(cols, quad);
    var excess = vec4u();
    if (A_TRANSPOSED && !B_TRANSPOSED) { // other sums are of whole fours
      excess = excess_of(quad, end);
      row_at -= last_of(rows, excess);
      col_at -= last_of(cols, excess);
    }
    var left = load_a(row_at);
    if (excess.w > 0u) { left = only(left, excess == vec4u()); }
    sum = add_product(sum, left, load_b(col_at), !A_TRANSPOSED, B_TRANSPOSED);
  }
  sum *= params.alpha;
  if (end == params.k) {
    let inner = walk(params.h_offset, row, params.m, params.ldh, true);
    let outer = walk(params.e_offset, col, params.n, select(params.n, params.k_extra, B_TRANSPOSED), B_TRANSPOSED);
    for (var quad = place.part; quad < params.k_extra / 4u; quad += GROUPS) {
      sum = add_product(sum, load_h(step_of(inner, quad)), load_e(step_of(outer, quad)), true, B_TRANSPOSED);
    }
  }
  return sum;
}

@compute @workgroup_size(256)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let place = place_of(lane);
  let corner = vec2u(group.y * ROWS, group.x * COLS);
  keep(place, own_sum(place, corner.x + 4u * place.row, corner.y + 4u * place.col, group.z));
  workgroupBarrier();
  for (var i = lane; i < ROWS * COLS / 4u; i += 256u) {
    let row = corner.x + i / (COLS / 4u);
    // Where C begins, or the part of it that this slice of the sum gives.
    let own = params.c_offset + (group.z * params.m + row) * params.ldc;
    if (row < params.m) { store(own, corner.y + i % (COLS / 4u) * 4u, total(i)); }
  }
}

fn store(row_start: u32, col: u32, values: vec4f) {
  for (var j = 0u; j < min(4u, max(col, params.n) - col); j++) {
    let i = row_start + col + j;
    var sum = values[j];
    if (params.beta != 0.0) { sum += params.beta * f32(c[i]); }
    c[i] = c_stored(sum);
  }
}
