enable subgroups;
// C = A B + H op(E) + beta C,  by outer products inside one subgroup, with A and B in textures: for CPU rasterisers
// One subgroup owns 32 rows x 4 SG columns. A lane reads a texel, four values of a row of A or a column of B, in the time in which it reads
// one value of a buffer. See pack-operand.wgsl for where texels lie.
struct Params {
  m: u32, n: u32, k: u32, k_extra: u32, // C is m x n; A and B meet in k, H and E in k_extra
  ldc: u32, ldh: u32, c_offset: u32, e_offset: u32, h_offset: u32, // row lengths as stored, and the first elements
  beta: f32
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var a: texture_storage_2d<rgba32uint, read>;
@group(0) @binding(2) var b: texture_storage_2d<rgba32uint, read>; // transposed
@group(0) @binding(3) var<storage, read_write> c: array<c_stored>;
@group(0) @binding(4) var<storage, read> h: array<f32>;            // [m, ldh]
@group(0) @binding(5) var<storage, read> e: array<f32>;            // [n, k_extra], or [k_extra, n]

alias c_stored = f32;             // f16 in mixed precision
const SG: u32 = 8u;               // lanes of a subgroup
const REGISTERS: u32 = 32u / SG;  // vectors that a lane loads of A
const E_TRANSPOSED: bool = false; // E is stored [n, k_extra]
const WIDTH: u32 = 4096u;         // of a line of a texture
// #import "common/outer-product.wgsl"

fn texel_of_a(i: u32) -> vec4f { return bitcast<vec4f>(textureLoad(a, vec2u(i % WIDTH, i / WIDTH))); }
fn texel_of_b(i: u32) -> vec4f { return bitcast<vec4f>(textureLoad(b, vec2u(i % WIDTH, i / WIDTH))); }

// E(p, the lane's columns); past the edge the last one is repeated.
fn load_e(p: u32, col: u32) -> vec4f {
  let cols = min(col + SG * vec4u(0u, 1u, 2u, 3u), vec4u(params.n - 1u));
  let i = params.e_offset + select(p * params.n + cols, cols * params.k_extra + p, E_TRANSPOSED);
  return vec4f(e[i.x], e[i.y], e[i.z], e[i.w]);
}

fn put(row: u32, col: u32, value: f32) {
  if (col >= params.n) { return; }
  let i = params.c_offset + row * params.ldc + col;
  var sum = value;
  if (params.beta != 0.0) { sum += params.beta * f32(c[i]); }
  c[i] = c_stored(sum);
}

@compute @workgroup_size(SG)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let row = group.y * 32u;
  let col = group.x * 4u * SG + lane; // and SG, 2 SG, 3 SG further
  let length = (params.k + 3u) / 4u;
  let panel = length * SG;
  var c0 = mat4x4f();
  var c1 = mat4x4f();
  var c2 = mat4x4f();
  var c3 = mat4x4f();
  var c4 = mat4x4f();
  var c5 = mat4x4f();
  var c6 = mat4x4f();
  var c7 = mat4x4f();
  var v: array<vec4f, REGISTERS>;
  for (var q = 0u; q < length; q++) {
    let at = q * SG + lane;
    for (var i = 0u; i < REGISTERS; i++) { v[i] = texel_of_a((group.y * REGISTERS + i) * panel + at); }
    let first = group.x * 4u * panel + at;
    let w = transpose(mat4x4f(
      texel_of_b(first), texel_of_b(first + panel), texel_of_b(first + 2u * panel), texel_of_b(first + 3u * panel)
    ));
    c0 += product(v[0], w, 0u);
    c1 += product(v[4u / SG], w, 4u % SG);
    c2 += product(v[8u / SG], w, 8u % SG);
    c3 += product(v[12u / SG], w, 12u % SG);
    c4 += product(v[16u / SG], w, 16u % SG);
    c5 += product(v[20u / SG], w, 20u % SG);
    c6 += product(v[24u / SG], w, 24u % SG);
    c7 += product(v[28u / SG], w, 28u % SG);
  }
  // The branch's few steps one at a time, which is a quarter of the code.
  let last = params.m - 1u;
  for (var p = 0u; p < params.k_extra; p++) {
    for (var i = 0u; i < REGISTERS; i++) {
      v[i].x = h[params.h_offset + min(row + i * SG + lane, last) * params.ldh + p];
    }
    let w = load_e(p, col);
    c0 += outer(from_lanes(v[0].x, 0u), w);
    c1 += outer(from_lanes(v[4u / SG].x, 4u % SG), w);
    c2 += outer(from_lanes(v[8u / SG].x, 8u % SG), w);
    c3 += outer(from_lanes(v[12u / SG].x, 12u % SG), w);
    c4 += outer(from_lanes(v[16u / SG].x, 16u % SG), w);
    c5 += outer(from_lanes(v[20u / SG].x, 20u % SG), w);
    c6 += outer(from_lanes(v[24u / SG].x, 24u % SG), w);
    c7 += outer(from_lanes(v[28u / SG].x, 28u % SG), w);
  }
  // A loop over rows, whose bound the compiler cannot see: see matmul-subgroup.wgsl.
  let rows = array<vec4f, 32>(
    c0[0], c0[1], c0[2], c0[3], c1[0], c1[1], c1[2], c1[3], c2[0], c2[1], c2[2], c2[3], c3[0], c3[1], c3[2], c3[3],
    c4[0], c4[1], c4[2], c4[3], c5[0], c5[1], c5[2], c5[3], c6[0], c6[1], c6[2], c6[3], c7[0], c7[1], c7[2], c7[3]
  );
  let end = min(row + 32u, params.m);
  for (var r = row; r < end; r++) {
    let value = rows[r - row];
    put(r, col, value.x);
    put(r, col + SG, value.y);
    put(r, col + 2u * SG, value.z);
    put(r, col + 3u * SG, value.w);
  }
}
