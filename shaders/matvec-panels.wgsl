enable subgroups;
// y[row, n] = beta y[row, n] + alpha sum_k x[row, k] W[n, k] + sum_j h[row, j] e[n, j]     for a few rows, W in panels
// A lane owns COLUMNS columns of all rows, SG apart: a subgroup reads each texel of W once. Lanes load x together and fetch it
// from each other. W holds the rows of up to three weights, one after the other. See panels.wgsl for where a texel lies.
// NORMED: of RMSNorm(x) = x * rstd * (OFFSET + e[k]) in place of x, and without branches: each subgroup sums the squares of what it
// reads, and scales its sums by rstd.
struct Params {
  k: u32, ldh: u32, panels: u32, alpha: f32, beta: f32,
  first2: u32, first3: u32,                    // panels of the second weight and the third
  n: u32, n2: u32, n3: u32,                    // rows of each weight
  ldc: u32, c_offset: u32, c2: u32, c3: u32,   // where their columns of y lie
  k_extra: u32, extra2: u32, extra3: u32,      // columns of e
  h_offset: u32, h2: u32, h3: u32, e_offset: u32
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;        // [m, k]
@group(0) @binding(2) var panels: texture_storage_2d<rgba32uint, read>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read> h: array<f32>;          // [m, ldh]
@group(0) @binding(5) var<storage, read> e: array<f32>;          // [n, k_extra], or [k]
@group(0) @binding(6) var<storage, read> e2: array<f32>;         // [n2, extra2]
@group(0) @binding(7) var<storage, read> e3: array<f32>;         // [n3, extra3]

alias elem = f32;
const SG: u32 = 8u;         // lanes of a subgroup
const ROWS: u32 = 1u;       // of x
const COLUMNS: u32 = 4u;    // of a lane
const GROUP: u32 = 8u;      // panels side by side
const FORMAT: u32 = 1u;     // 1 bf16, 2 f16
const GATED: bool = false;  // panels of two weights by turns: y = act(the first's) * the second's, COLUMNS being even
const ACTIVATION: u32 = 0u;
const NORMED: bool = false;
const OFFSET: f32 = 0.0;
const EPS: f32 = 0.00001;
// #import "common/activation.wgsl"
// #import "common/panel-texels.wgsl"
// #import "common/panel-columns.wgsl"

var<private> low: array<vec4f, ROWS>;  // of x: pairs of vectors, one of the next SG pairs in each lane
var<private> high: array<vec4f, ROWS>;
var<private> squares: array<f32, ROWS>; // of what this lane has held

@compute @workgroup_size(SG)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32
) {
  let first = (group.z * groups.x + group.x) * COLUMNS; // panel
  let length = params.k / 8u;
  for (var p = 0u; p < length; p += SG) {
    hold_x(p, lane, length);
    let end = min(p + SG, length); // a limit that compilers cannot see: copies of the loop are no faster
    for (var i = p; i < end; i++) {
      for (var c = 0u; c < COLUMNS; c++) {
        add_products(c, i - p, texel(texel_index(first + c, length, i, lane)));
      }
    }
  }
  if (NORMED) { scale_by_rstd(); }
  if (GATED) {
    for (var c = 0u; c < COLUMNS; c += 2u) { finish_gated(c, (first + c) / 2u * SG + lane); }
  } else {
    for (var c = 0u; c < COLUMNS; c++) { finish(c, first + c, lane); }
  }
}

fn hold_x(p: u32, lane: u32, length: u32) {
  for (var r = 0u; r < ROWS; r++) {
    let at = 2u * (r * length + min(p + lane, length - 1u));
    low[r] = x[at];
    high[r] = x[at + 1u];
    if (NORMED) { weigh_x(r, 8u * min(p + lane, length - 1u), p + lane < length); }
  }
}

fn weigh_x(r: u32, at: u32, is_own: bool) {
  squares[r] += select(0.0, dot(low[r], low[r]) + dot(high[r], high[r]), is_own);
  low[r] *= OFFSET + vec4f(e[at], e[at + 1u], e[at + 2u], e[at + 3u]);
  high[r] *= OFFSET + vec4f(e[at + 4u], e[at + 5u], e[at + 6u], e[at + 7u]);
}

fn scale_by_rstd() {
  for (var r = 0u; r < ROWS; r++) {
    var sum = squares[r];
    for (var mask = SG / 2u; mask > 0u; mask /= 2u) { sum += subgroupShuffleXor(sum, mask); }
    let rstd = inverseSqrt(sum / f32(params.k) + EPS);
    for (var c = 0u; c < COLUMNS; c++) { sums[c][r] *= rstd; }
  }
}

fn pair(word: u32) -> vec2f {
  if (FORMAT == 1u) { return vec2f(bitcast<f32>(word << 16u), bitcast<f32>(word & 0xffff0000u)); }
  return unpack2x16float(word);
}

// Eight values of W times those of x that lane `holder` holds.
fn add_products(c: u32, holder: u32, words: vec4u) {
  let w = vec4f(pair(words.x), pair(words.y));
  let v = vec4f(pair(words.z), pair(words.w));
  for (var r = 0u; r < ROWS; r++) {
    sums[c][r] += dot(subgroupShuffle(low[r], holder), w) + dot(subgroupShuffle(high[r], holder), v);
  }
}
