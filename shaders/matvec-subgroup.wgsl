enable subgroups;
// y[row, n] = sum_k x[row, k] W[n, k] + sum_j h[row, j] e[n, j]     for a few rows (decoding), on CPU rasterisers
// A lane owns four columns of all rows: W is read and decoded once. Lanes load x together and fetch it from each other.
struct Params {
  m: u32, n: u32, k: u32, k_extra: u32, ldc: u32, ldh: u32, c_offset: u32, e_offset: u32, h_offset: u32, alpha: f32,
  b_first: u32 // values of the weight before what is bound of W
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;        // [m, k]
@group(0) @binding(2) var<storage, read> b: array<vec4f>;        // W [n, k] where FORMAT is f32
@group(0) @binding(3) var<storage, read> b_packed: array<packed>; // W as words else; the same buffer
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read> h: array<f32>;          // [m, ldh]
@group(0) @binding(6) var<storage, read> e: array<f32>;          // [n, k_extra]
@group(0) @binding(7) var<storage, read> scales: array<u32>;     // of W's blocks
@group(0) @binding(8) var<storage, read> zeros: array<u32>;

const SG: u32 = 8u;             // lanes of a subgroup
const ROWS: u32 = 1u;           // of x
const WHOLE_RUNS: bool = false; // a row of W consists of whole runs of values that share a scale, in eights
// #import "common/weight.wgsl"
// #import "common/weight-vectors.wgsl"
// #import "common/weight-lanes.wgsl"

var<private> own: array<vec4f, ROWS>;  // of x: vectors i .. i + SG - 1, one in each lane
var<private> sums: array<vec4f, ROWS>; // of four columns

@compute @workgroup_size(SG)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32
) {
  let first = ((group.z * groups.x + group.x) * SG + lane) * 4u;
  let cols = min(first + vec4u(0u, 1u, 2u, 3u), vec4u(params.n - 1u));
  hold_table(lane);
  if (WHOLE_RUNS) {
    for (var p = 0u; p < params.k; p += BLOCK) { add_run(p, cols, lane); }
  } else {
    for (var p = 0u; p < params.k; p += 4u) {
      hold_x(p, lane);
      let w = decode_columns(p, cols * params.k + p);
      for (var r = 0u; r < ROWS; r++) { sums[r] += x_at(r, p) * w; }
    }
  }
  for (var r = 0u; r < ROWS; r++) { sums[r] *= params.alpha; }
  for (var j = 0u; j < params.k_extra; j++) {
    let at = params.e_offset + cols * params.k_extra + j;
    let w = vec4f(e[at.x], e[at.y], e[at.z], e[at.w]);
    for (var r = 0u; r < ROWS; r++) { sums[r] += h[params.h_offset + r * params.ldh + j] * w; }
  }
  for (var r = 0u; r < ROWS; r++) {
    let at = params.c_offset + r * params.ldc + first;
    for (var c = 0u; c < 4u; c++) {
      if (first + c < params.n) { y[at + c] = sums[r][c]; }
    }
  }
}

fn hold_x(p: u32, lane: u32) {
  if (p % (4u * SG) != 0u) { return; }
  let length = params.k / 4u;
  for (var r = 0u; r < ROWS; r++) { own[r] = x[r * length + min(p / 4u + lane, length - 1u)]; }
}

fn x_at(r: u32, p: u32) -> vec4f { return subgroupShuffle(own[r], p / 4u % SG); }

// The products of one run of each column, from column p of W on: scaled once, when they are summed.
fn add_run(p: u32, cols: vec4u, lane: u32) {
  var parts: array<vec4f, ROWS>;
  var totals: array<f32, ROWS>; // of x alone, for what is taken from each code or added to each value
  var lows: array<vec4f, ROWS>; // of x, four values and the next four
  var highs: array<vec4f, ROWS>;
  let end = min(p + BLOCK, params.k); // a limit that compilers cannot see: eight copies of the loop are no faster
  for (var i = p; i < end; i += 8u) {
    hold_x(i, lane);
    for (var r = 0u; r < ROWS; r++) {
      lows[r] = x_at(r, i);
      highs[r] = x_at(r, i + 4u);
      totals[r] += dot(lows[r] + highs[r], vec4f(1.0));
    }
    let at = cols * params.k + i;
    words = word_columns(at);
    var next = words;
    if (FORMAT < 6u) { next = word_columns(at + 4u); }
    for (var c = 0u; c < 4u; c++) {
      let low = raw_values(codes_of(words[c], 0u));
      let high = raw_values(codes_of(next[c], 4u));
      for (var r = 0u; r < ROWS; r++) { parts[r][c] += dot(lows[r], low) + dot(highs[r], high); }
    }
  }
  read_terms(p == 0u, (params.b_first + cols * params.k + p) / BLOCK);
  for (var r = 0u; r < ROWS; r++) {
    for (var c = 0u; c < 4u; c++) { sums[r][c] += scaled_sum(parts[r][c], totals[r], terms[c]); }
  }
}
