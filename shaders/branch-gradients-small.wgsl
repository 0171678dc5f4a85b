// dh = scale dy B,  dB += dy^T h  of up to three layers of one input, and dA += dh^T x of layers before them; for GPUs
// A workgroup owns ROWS x COLS of a layer's part of dh, of its dB, or of dA transposed, and its invocations share the sums.
struct Params {
  rows: u32, ldh: u32, row_blocks: u32,  // T, columns of h and dh, T / ROWS rounded up
  layers: u32,                           // of dh and dB; dA comes behind them
  n0: u32, n1: u32, n2: u32,             // columns of each dy
  at0: u32, at1: u32, at2: u32,          // where it begins in its buffer
  buffer0: u32, buffer1: u32, buffer2: u32, // which of the two that is
  r0: u32, r1: u32, r2: u32,             // columns of each B
  first0: u32, first1: u32, first2: u32, // where they begin among those of h and dh
  b0: u32, b1: u32, b2: u32,             // where each B begins in its binding, and dB in its own
  db0: u32, db1: u32, db2: u32,
  rows_before: u32, n_before: u32, r_before: u32, // of x, and columns of its dh
  da: u32,                               // where dA begins, among the dB
  scale: f32
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy0: array<stored>; // each [T, n]
@group(0) @binding(2) var<storage, read> dy1: array<stored>;
@group(0) @binding(3) var<storage, read> b: array<vec4f>;   // each [n, r]
@group(0) @binding(4) var<storage, read> h: array<vec4f>;   // [T, ldh]
@group(0) @binding(5) var<storage, read> x: array<stored>;  // [rows_before, n_before]
@group(0) @binding(6) var<storage, read> dh_before: array<vec4f>; // [rows_before, r_before]
@group(0) @binding(7) var<storage, read_write> dh: array<vec4f>;
@group(0) @binding(8) var<storage, read_write> db: array<f32>;

alias stored = vec4f; // what dy and x lie in: halves in mixed precision
const ROWS: u32 = 32u;
const COLS: u32 = 8u; // 8, 16 or 32
// #import "common/small-blocks.wgsl"

// One layer: what its dy, B and dB are.
struct Layer { n: u32, at: u32, buffer: u32, r: u32, first: u32, b: u32, db: u32 }

fn layer(part: u32) -> Layer {
  if (part == 0u) { return Layer(params.n0, params.at0, params.buffer0, params.r0, params.first0, params.b0, params.db0); }
  if (part == 1u) { return Layer(params.n1, params.at1, params.buffer1, params.r1, params.first1, params.b1, params.db1); }
  return Layer(params.n2, params.at2, params.buffer2, params.r2, params.first2, params.b2, params.db2);
}

fn load_dy(buffer: u32, at: vec4u) -> mat4x4f {
  if (buffer == 0u) { return mat4x4f(vec4f(dy0[at.x]), vec4f(dy0[at.y]), vec4f(dy0[at.z]), vec4f(dy0[at.w])); }
  return mat4x4f(vec4f(dy1[at.x]), vec4f(dy1[at.y]), vec4f(dy1[at.z]), vec4f(dy1[at.w]));
}

fn load_b(at: vec4u) -> mat4x4f { return mat4x4f(b[at.x], b[at.y], b[at.z], b[at.w]); }

fn load_h(at: vec4u) -> mat4x4f { return mat4x4f(h[at.x], h[at.y], h[at.z], h[at.w]); }

fn load_x(at: vec4u) -> mat4x4f { return mat4x4f(vec4f(x[at.x]), vec4f(x[at.y]), vec4f(x[at.z]), vec4f(x[at.w])); }

fn load_before(at: vec4u) -> mat4x4f {
  return mat4x4f(dh_before[at.x], dh_before[at.y], dh_before[at.z], dh_before[at.w]);
}

// What a workgroup computes a block of. One loop for all: CPU drivers take long to compile a load, wherever it stands.
const INNER: u32 = 0u;  // dh: the sum of dy(row, p) B(p, col) over p < n
const OUTER: u32 = 1u;  // dB: of dy(p, row) h(p, col) over p < T
const BEFORE: u32 = 2u; // dA transposed: of x(p, row) dh(p, col) over the tokens before

fn load_left(kind: u32, buffer: u32, at: vec4u) -> mat4x4f {
  if (kind == BEFORE) { return load_x(at); }
  return load_dy(buffer, at);
}

fn load_right(kind: u32, at: vec4u) -> mat4x4f {
  if (kind == BEFORE) { return load_before(at); }
  if (kind == OUTER) { return load_h(at); }
  return load_b(at);
}

fn own_sum(kind: u32, own: Layer, place: Place, row: u32, col: u32) -> mat4x4f {
  var rows = walk(own.at, row, params.rows, own.n, true);
  var cols = walk(own.b, col, own.r, own.r, false);
  var end = own.n;
  if (kind == OUTER) {
    rows = walk(own.at, row, own.n, own.n, false);
    cols = walk(own.first, col, own.r, params.ldh, false);
    end = params.rows;
  }
  if (kind == BEFORE) {
    rows = walk(0u, row, params.n_before, params.n_before, false);
    cols = walk(0u, col, params.r_before, params.r_before, false);
    end = params.rows_before;
  }
  var sum = mat4x4f();
  for (var quad = place.part; quad < (end + 3u) / 4u; quad += GROUPS) {
    let excess = excess_of(quad, end);
    var left = load_left(kind, own.buffer, step_of(rows, quad) - last_of(rows, excess));
    let right = load_right(kind, step_of(cols, quad) - last_of(cols, excess));
    if (kind == INNER) { left = transpose(left); }
    if (excess.w > 0u) { left = only(left, excess == vec4u()); }
    sum = add_product(sum, left, right, false, false);
  }
  return sum;
}

@compute @workgroup_size(256)
fn backward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let place = place_of(lane);
  let part = group.z;
  let is_before = part == params.layers;
  let own = layer(part);
  let is_inner = !is_before && group.x < params.row_blocks;
  let first = (group.x - select(params.row_blocks, 0u, is_inner || is_before)) * ROWS;
  let first_col = group.y * COLS;
  let kind = select(select(OUTER, INNER, is_inner), BEFORE, is_before);
  keep(place, own_sum(kind, own, place, first + 4u * place.row, first_col + 4u * place.col));
  workgroupBarrier();
  for (var i = lane; i < ROWS * COLS / 4u; i += 256u) {
    let at_row = first + i / (COLS / 4u);
    let at_col = first_col + i % (COLS / 4u) * 4u;
    if (is_before) {
      add_da(at_row, at_col, total(i));
    } else if (is_inner) {
      put_dh(own, at_row, at_col, params.scale * total(i));
    } else {
      add_db(own, at_row, at_col, total(i));
    }
  }
}

fn put_dh(own: Layer, row: u32, col: u32, values: vec4f) {
  if (row < params.rows && col < own.r) { dh[(row * params.ldh + own.first + col) / 4u] = values; }
}

fn add_db(own: Layer, row: u32, col: u32, values: vec4f) {
  if (row >= own.n || col >= own.r) { return; }
  let at = own.db + row * own.r + col;
  db[at] += values.x;
  db[at + 1u] += values.y;
  db[at + 2u] += values.z;
  db[at + 3u] += values.w;
}

fn add_da(row: u32, col: u32, values: vec4f) {
  if (row >= params.n_before || col >= params.r_before) { return; }
  let at = params.da + col * params.n_before + row;
  db[at] += values.x;
  db[at + params.n_before] += values.y;
  db[at + 2u * params.n_before] += values.z;
  db[at + 3u * params.n_before] += values.w;
}
