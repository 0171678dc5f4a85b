// y[row, n] = sum_k x[row, k] W[n, k] + sum_j h[row, j] e[n, j]     for a few rows (decoding)
// LANES invocations share one output column of one row: a GPU reads W coalesced, a CPU rasteriser takes LANES = 1.
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

const WG: u32 = 64u;
const LANES: u32 = 16u; // a power of two, at most WG
const EIGHTS: u32 = 0u; // of values that an invocation takes at a time, all in one run; 0: it takes four
// #import "common/weight.wgsl"
// #import "common/weight-table-shared.wgsl"
// #import "common/weight-vectors.wgsl"
var<workgroup> partial: array<f32, WG>;

@compute @workgroup_size(WG)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let col = (group.z * groups.x + group.x) * (WG / LANES) + lane / LANES;
  let row = group.y;
  let safe_col = min(col, params.n - 1u);
  let length = params.k / 4u;
  hold_table(lane);
  var sum = 0.0;
  if (EIGHTS == 0u) {
    for (var i = lane % LANES; i < length; i += LANES) {
      sum += dot(x[row * length + i], decode4(safe_col * length + i));
    }
  } else {
    let steps = length / max(2u * EIGHTS, 1u);
    for (var i = lane % LANES; i < steps; i += LANES) {
      sum += dot_eights((row * steps + i) * EIGHTS, (safe_col * steps + i) * EIGHTS);
    }
  }
  sum *= params.alpha;
  for (var j = lane % LANES; j < params.k_extra; j += LANES) {
    sum += h[params.h_offset + row * params.ldh + j] * e[params.e_offset + safe_col * params.k_extra + j];
  }
  if (LANES > 1u) {
    partial[lane] = sum;
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
      workgroupBarrier();
      if (lane % LANES < stride) { partial[lane] += partial[lane + stride]; }
    }
    sum = partial[lane];
  }
  if (lane % LANES == 0u && col < params.n) { y[params.c_offset + row * params.ldc + col] = sum; }
}

// EIGHTS times eight values of x and W, from eight x_at and w_at. Those of W are scaled once, when they are summed.
fn dot_eights(x_at: u32, w_at: u32) -> f32 {
  var sum = 0.0;
  var total = 0.0; // of x alone, for what is taken from each code or added to each value
  for (var i = 0u; i < EIGHTS; i++) {
    let low = x[2u * (x_at + i)];
    let high = x[2u * (x_at + i) + 1u];
    if (FORMAT < 3u) {
      sum += dot(low, decode4(2u * (w_at + i))) + dot(high, decode4(2u * (w_at + i) + 1u));
    } else {
      let at = (w_at + i) * select(1u, 2u, FORMAT < 6u);
      let word = packed_word(at);
      var next = word;
      if (FORMAT < 6u) { next = packed_word(at + 1u); }
      sum += dot(low, raw_values(codes_of(word, 0u))) + dot(high, raw_values(codes_of(next, 4u)));
      total += dot(low + high, vec4f(1.0));
    }
  }
  if (FORMAT < 3u) { return sum; }
  return scaled_sum(sum, total, run_terms((params.b_first + 8u * w_at) / BLOCK));
}
