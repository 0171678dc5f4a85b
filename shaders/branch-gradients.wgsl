enable subgroups;
// dh = scale dy B,  dB += dy^T h  of up to three layers of one input, whose columns of h and dh lie side by side
// One subgroup owns 8 columns of a layer's part of dh, or of its dB, along 4 SG rows. Both in one dispatch: they are small, and
// CPU rasterisers take 15 to 50 us to start one.
struct Params {
  rows: u32, ldh: u32, row_blocks: u32,  // T, columns of h and dh, T / (4 SG) rounded up
  n0: u32, n1: u32, n2: u32,             // columns of each dy, a multiple of 4
  r0: u32, r1: u32, r2: u32,             // columns of each B
  first0: u32, first1: u32, first2: u32, // where they begin among those of h and dh
  b0: u32, b1: u32, b2: u32,             // where each B begins in its binding, and dB in its own
  db0: u32, db1: u32, db2: u32,
  scale: f32
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy0: array<stored>; // [T, n0]
@group(0) @binding(2) var<storage, read> dy1: array<stored>;
@group(0) @binding(3) var<storage, read> dy2: array<stored>;
@group(0) @binding(4) var<storage, read> b: array<f32>;     // each [n, r]
@group(0) @binding(5) var<storage, read> h: array<f32>;     // [T, ldh]
@group(0) @binding(6) var<storage, read_write> dh: array<f32>;
@group(0) @binding(7) var<storage, read_write> db: array<f32>;

alias stored = vec4f;     // what dy lies in: halves in mixed precision
const SG: u32 = 8u;       // lanes of a subgroup, at most 64
const OWNED: u32 = 8u;    // columns of dh or dB
const LOADS: u32 = (OWNED + SG - 1u) / SG;
const FOUR = vec4u(0u, 1u, 2u, 3u);
// #import "common/outer-product.wgsl"

// One layer, and the first of the columns that this subgroup owns.
struct Layer { n: u32, r: u32, first: u32, b: u32, db: u32, owned: u32 }

// Columns owned .. owned + 7, column i of c0 and c1 being one of them, along four rows a lane.
struct Tile { c0: mat4x4f, c1: mat4x4f }

fn layer(part: u32, owned: u32) -> Layer {
  if (part == 0u) { return Layer(params.n0, params.r0, params.first0, params.b0, params.db0, owned); }
  if (part == 1u) { return Layer(params.n1, params.r1, params.first1, params.b1, params.db1, owned); }
  return Layer(params.n2, params.r2, params.first2, params.b2, params.db2, owned);
}

// Four vectors of a layer's dy. One place for all: CPU drivers take long to compile a load, and devices pass quickly over
// one that no lane takes.
fn load_dy(part: u32, at: vec4u) -> mat4x4f {
  let i = at / 4u;
  var w = mat4x4f();
  if (part == 0u) {
    w = mat4x4f(vec4f(dy0[i.x]), vec4f(dy0[i.y]), vec4f(dy0[i.z]), vec4f(dy0[i.w]));
  } else if (part == 1u) {
    w = mat4x4f(vec4f(dy1[i.x]), vec4f(dy1[i.y]), vec4f(dy1[i.z]), vec4f(dy1[i.w]));
  } else {
    w = mat4x4f(vec4f(dy2[i.x]), vec4f(dy2[i.y]), vec4f(dy2[i.z]), vec4f(dy2[i.w]));
  }
  return w;
}

// The column of B and h that a lane loads; past the end the last one is repeated.
fn column(of_layer: Layer, load: u32, lane: u32) -> u32 {
  return min(of_layer.owned + load * SG + lane % OWNED, of_layer.r - 1u);
}

fn add_products(tile: Tile, v: array<vec4f, LOADS>, w: mat4x4f) -> Tile {
  return Tile(tile.c0 + product(v[0], w, 0u), tile.c1 + product(v[4u / SG], w, 4u % SG));
}

// dh: dy(row .. row + 3, p) B(p, owned .. owned + 7) summed over p < n.
// dB: dy(p, row .. row + 3) h(p, owned .. owned + 7) summed over p < T.
fn sums(part: u32, own: Layer, row: u32, is_inner: bool, lane: u32) -> Tile {
  var tile = Tile();
  let last = vec4u(params.rows - 1u);
  let inner_at = min(row + FOUR, last) * own.n;
  let outer_at = min(row, own.n - 4u);
  let end = select(params.rows, own.n, is_inner);
  var v: array<vec4f, LOADS>;
  for (var p = 0u; p < end; p += 4u) {
    let steps = p + FOUR;
    let near = min(steps, last);
    for (var i = 0u; i < LOADS; i++) {
      if (is_inner) {
        let each = own.b + steps * own.r + column(own, i, lane);
        v[i] = vec4f(b[each.x], b[each.y], b[each.z], b[each.w]);
      } else {
        let each = near * params.ldh + own.first + column(own, i, lane);
        v[i] = select(vec4f(), vec4f(h[each.x], h[each.y], h[each.z], h[each.w]), steps <= last);
      }
    }
    let w = load_dy(part, select(near * own.n + outer_at, inner_at + p, is_inner));
    tile = add_products(tile, v, choose(w, transpose(w), is_inner));
  }
  return tile;
}

@compute @workgroup_size(SG)
fn backward(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let part = group.z;
  let own = layer(part, group.y * OWNED);
  // Blocks of dh are spread evenly among those of dB: CPU rasterisers give each core one run of workgroups.
  let blocks = params.row_blocks + (own.n + 4u * SG - 1u) / (4u * SG);
  let before = group.x * params.row_blocks / blocks;
  let is_inner = (group.x + 1u) * params.row_blocks / blocks > before;
  let row = select(group.x - before, before, is_inner) * 4u * SG + 4u * lane;
  if (group.x >= blocks || own.owned >= own.r) { return; }
  let tile = sums(part, own, row, is_inner, lane);
  let columns = array<vec4f, OWNED>(
    tile.c0[0], tile.c0[1], tile.c0[2], tile.c0[3], tile.c1[0], tile.c1[1], tile.c1[2], tile.c1[3]
  );
  // A bound that the compiler cannot see, so that nothing unrolls the stores; see matmul-subgroup.wgsl.
  let end = min(own.owned + OWNED, own.r);
  for (var j = own.owned; j < end; j++) {
    let values = columns[j - own.owned];
    if (is_inner) { put_dh(own, row, j, params.scale * values); } else { add_db(own, row, j, values); }
  }
}

fn put_dh(own: Layer, row: u32, j: u32, values: vec4f) {
  for (var i = 0u; i < 4u; i++) {
    if (row + i < params.rows) { dh[(row + i) * params.ldh + own.first + j] = values[i]; }
  }
}

fn add_db(own: Layer, row: u32, j: u32, values: vec4f) {
  for (var i = 0u; i < 4u; i++) {
    if (row + i < own.n) { db[own.db + (row + i) * own.r + j] += values[i]; }
  }
}
