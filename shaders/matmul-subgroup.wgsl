enable subgroups;
// C = alpha op(A) op(B) + H op(E) + beta C,  by outer products inside one subgroup; rows of A and B in fours
// One subgroup owns ROWS rows x 4 SG columns. Lanes load the rows of A together and broadcast them: no workgroup
// memory and no barrier, which is what CPU rasterisers pay for most.
struct Params {
  m: u32, n: u32, k: u32, k_extra: u32,
  lda: u32, ldb: u32, ldc: u32, ldh: u32,
  a_offset: u32, b_offset: u32, c_offset: u32, e_offset: u32, h_offset: u32,
  b_first: u32, // values of the weight before what is bound of B
  alpha: f32, beta: f32
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<a_stored>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;        // B where FORMAT is f32
@group(0) @binding(3) var<storage, read> b_packed: array<packed>; // B as words else; the same buffer
@group(0) @binding(4) var<storage, read_write> c: array<c_stored>;
@group(0) @binding(5) var<storage, read> h: array<h_stored>;         // H; A by single values where it is transposed and there is no H
@group(0) @binding(6) var<storage, read> e: array<f32>;
@group(0) @binding(7) var<storage, read> scales: array<u32>;    // of B's blocks
@group(0) @binding(8) var<storage, read> zeros: array<u32>;

alias a_stored = vec4f;           // vec4<f16> in mixed precision
alias c_stored = f32;             // f16
alias h_stored = f32;             // that of A where it is read by single values
const SG: u32 = 8u;               // lanes of a subgroup, at most 64
const ROWS: u32 = 32u;            // 32, or 8 for products of few rows
const REGISTERS: u32 = (ROWS + SG - 1u) / SG; // vectors that a lane loads of A
const A_TRANSPOSED: bool = false;
const B_TRANSPOSED: bool = false;
const C_TRANSPOSED: bool = false; // C is stored [n, m]
const SHARED_RUNS: bool = false;  // what a subgroup reads of a row of B lies in one run of a weight of few bits
// #import "common/weight.wgsl"
// #import "common/weight-vectors.wgsl"
// #import "common/weight-lanes.wgsl"
// #import "common/outer-product.wgsl"

// A(row, p .. p+3), with everything counted in vectors of four where it is contiguous.
fn load_a(row: u32, p: u32) -> vec4f {
  if (A_TRANSPOSED) {
    let at = p + vec4u(0u, 1u, 2u, 3u);
    let i = params.a_offset + min(at, vec4u(params.k - 1u)) * params.lda + row;
    let values = vec4f(f32(h[i.x]), f32(h[i.y]), f32(h[i.z]), f32(h[i.w]));
    return select(vec4f(), values, at < vec4u(params.k));
  }
  return vec4f(a[(params.a_offset + row * params.lda + p) / 4u]);
}

// B(p .. p+3, col .. col+3); column u of the matrix holds row p + u. Past the end the last row or column is repeated.
fn load_b(p: u32, col: u32, lane: u32) -> mat4x4f {
  let four = vec4u(0u, 1u, 2u, 3u);
  if (B_TRANSPOSED) {
    let at = params.b_offset + min(col + four, vec4u(params.n - 1u)) * params.ldb + p;
    return transpose(decode_columns(p, at));
  }
  if (SHARED_RUNS) { return decode_rows(p, col, lane); }
  var rows = p + four;
  if (A_TRANSPOSED) { rows = min(rows, vec4u(params.k - 1u)); }
  // Written out: with the four places in one vector, LLVM 15 makes code of it that takes 1.25 times as long.
  let at = params.b_offset + min(col, params.n - 4u);
  return mat4x4f(
    decode4((at + rows.x * params.ldb) / 4u), decode4((at + rows.y * params.ldb) / 4u),
    decode4((at + rows.z * params.ldb) / 4u), decode4((at + rows.w * params.ldb) / 4u)
  );
}

// Four values of each of four rows of B, whose part that the subgroup reads lies in one run: a lane holds its terms.
fn decode_rows(p: u32, col: u32, lane: u32) -> mat4x4f {
  let first = params.b_offset + p * params.ldb + col;
  if (p % SG == 0u) {
    let row = min(p + lane, params.k - 1u);
    terms[0] = run_terms((params.b_first + params.b_offset + row * params.ldb + col - 4u * lane) / BLOCK);
  }
  var row_words: vec4u;
  if (FORMAT >= 6u) {
    // Neighbours have their values in one word: each reads it for every other row.
    let at = (first + lane % 2u * params.ldb) / 4u;
    let two = vec2u(word_at(at), word_at(at + params.ldb / 2u));
    let even = subgroupShuffle(two, lane & ~1u);
    let odd = subgroupShuffle(two, lane | 1u);
    row_words = vec4u(even.x, odd.x, even.y, odd.y);
  } else {
    let at = first / 4u;
    let stride = params.ldb / 4u;
    row_words = vec4u(word_at(at), word_at(at + stride), word_at(at + 2u * stride), word_at(at + 3u * stride));
  }
  return mat4x4f(
    values_of(codes_of(row_words.x, col), subgroupShuffle(terms[0], p % SG)),
    values_of(codes_of(row_words.y, col), subgroupShuffle(terms[0], p % SG + 1u)),
    values_of(codes_of(row_words.z, col), subgroupShuffle(terms[0], p % SG + 2u)),
    values_of(codes_of(row_words.w, col), subgroupShuffle(terms[0], p % SG + 3u))
  );
}

// E(p, col .. col + 3), likewise.
fn load_e(p: u32, col: u32) -> vec4f {
  let cols = min(col + vec4u(0u, 1u, 2u, 3u), vec4u(params.n - 1u));
  let i = params.e_offset + select(p * params.n + cols, cols * params.k_extra + p, B_TRANSPOSED);
  return vec4f(e[i.x], e[i.y], e[i.z], e[i.w]);
}

fn put(row: u32, col: u32, value: f32) {
  if (col >= params.n) { return; }
  let i = params.c_offset + select(row * params.ldc + col, col * params.ldc + row, C_TRANSPOSED);
  var sum = value;
  if (params.beta != 0.0) { sum += params.beta * f32(c[i]); }
  c[i] = c_stored(sum);
}

@compute @workgroup_size(SG)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let row = group.y * ROWS;
  let col = group.x * 4u * SG + 4u * lane;
  let last = params.m - 1u;
  hold_table(lane);
  var c0 = mat4x4f();
  var c1 = mat4x4f();
  var c2 = mat4x4f();
  var c3 = mat4x4f();
  var c4 = mat4x4f();
  var c5 = mat4x4f();
  var c6 = mat4x4f();
  var c7 = mat4x4f();
  var v: array<vec4f, REGISTERS>;
  for (var p = 0u; p < params.k; p += 4u) {
    for (var i = 0u; i < REGISTERS; i++) {
      v[i] = params.alpha * load_a(min(row + i * SG + lane % ROWS, last), p);
    }
    let w = load_b(p, col, lane);
    c0 += product(v[0], w, 0u);
    c1 += product(v[4u / SG], w, 4u % SG);
    if (ROWS > 8u) {
      c2 += product(v[8u / SG % REGISTERS], w, 8u % SG);
      c3 += product(v[12u / SG % REGISTERS], w, 12u % SG);
      c4 += product(v[16u / SG % REGISTERS], w, 16u % SG);
      c5 += product(v[20u / SG % REGISTERS], w, 20u % SG);
      c6 += product(v[24u / SG % REGISTERS], w, 24u % SG);
      c7 += product(v[28u / SG % REGISTERS], w, 28u % SG);
    }
  }
  // The branch's few steps one at a time, which is a quarter of the code. These two layouts have none, and compile faster so.
  let extra = select(params.k_extra, 0u, A_TRANSPOSED || C_TRANSPOSED);
  for (var p = 0u; p < extra; p++) {
    for (var i = 0u; i < REGISTERS; i++) {
      v[i].x = f32(h[params.h_offset + min(row + i * SG + lane % ROWS, last) * params.ldh + p]);
    }
    let w = load_e(p, col);
    c0 += outer(from_lanes(v[0].x, 0u), w);
    c1 += outer(from_lanes(v[4u / SG].x, 4u % SG), w);
    if (ROWS > 8u) {
      c2 += outer(from_lanes(v[8u / SG % REGISTERS].x, 8u % SG), w);
      c3 += outer(from_lanes(v[12u / SG % REGISTERS].x, 12u % SG), w);
      c4 += outer(from_lanes(v[16u / SG % REGISTERS].x, 16u % SG), w);
      c5 += outer(from_lanes(v[20u / SG % REGISTERS].x, 20u % SG), w);
      c6 += outer(from_lanes(v[24u / SG % REGISTERS].x, 24u % SG), w);
      c7 += outer(from_lanes(v[28u / SG % REGISTERS].x, 28u % SG), w);
    }
  }
  // A loop over rows, whose bound the compiler cannot see: stores are expanded per lane by CPU rasterisers, and unrolled
  // they are most of the compile time (1.8 s instead of 0.4 s for 8 rows on lavapipe).
  let rows = array<vec4f, 32>(
    c0[0], c0[1], c0[2], c0[3], c1[0], c1[1], c1[2], c1[3], c2[0], c2[1], c2[2], c2[3], c3[0], c3[1], c3[2], c3[3],
    c4[0], c4[1], c4[2], c4[3], c5[0], c5[1], c5[2], c5[3], c6[0], c6[1], c6[2], c6[3], c7[0], c7[1], c7[2], c7[3]
  );
  let end = min(row + ROWS, params.m);
  for (var r = row; r < end; r++) {
    let value = rows[r - row];
    put(r, col, value.x);
    put(r, col + 1u, value.y);
    put(r, col + 2u, value.z);
    put(r, col + 3u, value.w);
  }
}
