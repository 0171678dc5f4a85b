enable subgroups;
// C = alpha op(A) op(B) + H op(E) + beta C,  by outer products inside one subgroup; k and n are multiples of 4
// One subgroup owns 16 rows x 4 SG columns. Lanes load 16 rows of A together and broadcast them: no workgroup
// memory and no barrier, which is what CPU rasterisers pay for most.
struct Params {
  m: u32, n: u32, k: u32, k_extra: u32,
  lda: u32, ldb: u32, ldc: u32,
  a_offset: u32, c_offset: u32, e_offset: u32,
  alpha: f32, beta: f32
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;        // B where FORMAT is f32
@group(0) @binding(3) var<storage, read> b_packed: array<vec2u>; // B as words else; the same buffer
@group(0) @binding(4) var<storage, read_write> c: array<vec4f>;
@group(0) @binding(5) var<storage, read> h: array<vec4f>;
@group(0) @binding(6) var<storage, read> e: array<vec4f>;
@group(0) @binding(7) var<storage, read> a_scalar: array<f32>;   // the same buffer as a

const SG: u32 = 8u;               // lanes of a subgroup, at most 64
const ROWS: u32 = 16u;
const REGISTERS: u32 = (ROWS + SG - 1u) / SG; // vectors that a lane loads of A
const REGISTER1: u32 = 4u / SG;   // which of them holds rows 4 .. 7, 8 .. 11, 12 .. 15
const REGISTER2: u32 = 8u / SG;
const REGISTER3: u32 = 12u / SG;
const FORMAT: u32 = 0u;           // of B; see common/pack.wgsl
const A_TRANSPOSED: bool = false;
const B_TRANSPOSED: bool = false;
// #import "common/pack.wgsl"

// Rows 4g .. 4g+3 live in lanes (4g .. 4g+3) mod SG.
fn rows0(x: f32) -> vec4f {
  return vec4f(subgroupBroadcast(x, 0u), subgroupBroadcast(x, 1u), subgroupBroadcast(x, 2u), subgroupBroadcast(x, 3u));
}
fn rows1(x: f32) -> vec4f {
  return vec4f(
    subgroupBroadcast(x, 4u % SG), subgroupBroadcast(x, 5u % SG), subgroupBroadcast(x, 6u % SG), subgroupBroadcast(x, 7u % SG)
  );
}
fn rows2(x: f32) -> vec4f {
  return vec4f(
    subgroupBroadcast(x, 8u % SG), subgroupBroadcast(x, 9u % SG), subgroupBroadcast(x, 10u % SG), subgroupBroadcast(x, 11u % SG)
  );
}
fn rows3(x: f32) -> vec4f {
  return vec4f(
    subgroupBroadcast(x, 12u % SG), subgroupBroadcast(x, 13u % SG), subgroupBroadcast(x, 14u % SG), subgroupBroadcast(x, 15u % SG)
  );
}

// Column i of the result: row i of the block, four columns of C wide.
fn outer(row: vec4f, weights: vec4f) -> mat4x4f {
  return mat4x4f(row.x * weights, row.y * weights, row.z * weights, row.w * weights);
}

// A(4g .. 4g+3, p .. p+3) times B(p .. p+3, col .. col+3), for the row groups g = 0 .. 3.
fn product0(v: vec4f, w: mat4x4f) -> mat4x4f {
  return outer(rows0(v.x), w[0]) + outer(rows0(v.y), w[1]) + outer(rows0(v.z), w[2]) + outer(rows0(v.w), w[3]);
}
fn product1(v: vec4f, w: mat4x4f) -> mat4x4f {
  return outer(rows1(v.x), w[0]) + outer(rows1(v.y), w[1]) + outer(rows1(v.z), w[2]) + outer(rows1(v.w), w[3]);
}
fn product2(v: vec4f, w: mat4x4f) -> mat4x4f {
  return outer(rows2(v.x), w[0]) + outer(rows2(v.y), w[1]) + outer(rows2(v.z), w[2]) + outer(rows2(v.w), w[3]);
}
fn product3(v: vec4f, w: mat4x4f) -> mat4x4f {
  return outer(rows3(v.x), w[0]) + outer(rows3(v.y), w[1]) + outer(rows3(v.z), w[2]) + outer(rows3(v.w), w[3]);
}

fn decode4(index: u32) -> vec4f {
  if (FORMAT == 0u) { return b[index]; }
  let words = b_packed[index];
  return vec4f(decode_pair(words.x), decode_pair(words.y));
}

// A(row, p .. p+3), with everything counted in vectors of four where it is contiguous.
fn load_a(row: u32, p: u32) -> vec4f {
  if (A_TRANSPOSED) {
    let base = params.a_offset + p * params.lda + row;
    let stride = params.lda;
    return vec4f(a_scalar[base], a_scalar[base + stride], a_scalar[base + 2u * stride], a_scalar[base + 3u * stride]);
  }
  return a[(params.a_offset + row * params.lda + p) / 4u];
}

// B(p .. p+3, col .. col+3); column u of the matrix holds row p + u.
fn load_b(p: u32, col: u32) -> mat4x4f {
  let base = select(p * params.ldb + col, col * params.ldb + p, B_TRANSPOSED) / 4u;
  let stride = params.ldb / 4u;
  let b0 = decode4(base);
  let b1 = decode4(base + stride);
  let b2 = decode4(base + 2u * stride);
  let b3 = decode4(base + 3u * stride);
  if (B_TRANSPOSED) { return transpose(mat4x4f(b0, b1, b2, b3)); }
  return mat4x4f(b0, b1, b2, b3);
}

fn load_e(p: u32, col: u32) -> mat4x4f {
  let length = select(params.n, params.k_extra, B_TRANSPOSED);
  let base = (params.e_offset + select(p * length + col, col * length + p, B_TRANSPOSED)) / 4u;
  let stride = length / 4u;
  let e0 = e[base];
  let e1 = e[base + stride];
  let e2 = e[base + 2u * stride];
  let e3 = e[base + 3u * stride];
  if (B_TRANSPOSED) { return transpose(mat4x4f(e0, e1, e2, e3)); }
  return mat4x4f(e0, e1, e2, e3);
}

@compute @workgroup_size(SG)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let row = group.y * ROWS;
  let col = group.x * 4u * SG + 4u * lane;
  let safe_col = min(col, params.n - 4u);
  let last = params.m - 1u;
  var c0 = mat4x4f();
  var c1 = mat4x4f();
  var c2 = mat4x4f();
  var c3 = mat4x4f();
  var v: array<vec4f, REGISTERS>;
  let k_total = params.k + params.k_extra;
  for (var p = 0u; p < k_total; p += 4u) {
    // One loop for both products, so that the arithmetic below is compiled once.
    var w: mat4x4f;
    if (p < params.k) {
      for (var i = 0u; i < REGISTERS; i++) {
        v[i] = params.alpha * load_a(min(row + i * SG + lane % ROWS, last), p);
      }
      w = load_b(p, safe_col);
    } else {
      for (var i = 0u; i < REGISTERS; i++) {
        v[i] = h[(min(row + i * SG + lane % ROWS, last) * params.k_extra + p - params.k) / 4u];
      }
      w = load_e(p - params.k, safe_col);
    }
    c0 += product0(v[0], w);
    c1 += product1(v[REGISTER1], w);
    c2 += product2(v[REGISTER2], w);
    c3 += product3(v[REGISTER3], w);
  }
  if (col >= params.n) { return; }
  // A loop over rows instead of sixteen stores: every store is expanded per lane by CPU rasterisers, which would be
  // most of the kernel's code and of its compile time.
  let rows = array<vec4f, ROWS>(
    c0[0], c0[1], c0[2], c0[3], c1[0], c1[1], c1[2], c1[3], c2[0], c2[1], c2[2], c2[3], c3[0], c3[1], c3[2], c3[3]
  );
  let count = min(ROWS, params.m - row);
  for (var i = 0u; i < count; i++) {
    let index = (params.c_offset + (row + i) * params.ldc + col) / 4u;
    var value = rows[i];
    if (params.beta != 0.0) { value += params.beta * c[index]; }
    c[index] = value;
  }
}
