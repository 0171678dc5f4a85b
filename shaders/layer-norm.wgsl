// y = (x - mean(x)) * rstd * w + b,  rstd = 1 / sqrt(mean((x - mean(x))^2) + eps)
// One workgroup per row; rows beyond 65535 fold into grid y. Ba, Kiros & Hinton 2016, arXiv 1607.06450.
struct Params { rows: u32, cols: u32, eps: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<stored>;       // [rows, cols]
@group(0) @binding(2) var<storage, read> w: array<f32>;       // [cols]
@group(0) @binding(3) var<storage, read> b: array<f32>;       // [cols]
@group(0) @binding(4) var<storage, read_write> y: array<stored>; // [rows, cols]
@group(0) @binding(5) var<storage, read_write> stats_out: array<vec2f>; // [rows]: mean and rstd, for the backward pass
@group(0) @binding(6) var<storage, read> stats: array<vec2f>;
@group(0) @binding(7) var<storage, read> dy: array<stored>;      // [rows, cols]
@group(0) @binding(8) var<storage, read_write> dx: array<stored>; // [rows, cols]
@group(0) @binding(9) var<storage, read_write> dw: array<f32>; // [cols]

alias stored = f32; // what activations lie in: halves in mixed precision
const WG: u32 = 64u;
const ACCUMULATE: bool = false; // add to dx or dw instead of overwriting it
// #import "common/reduce.wgsl"

fn row_of(group: vec3u, grid: vec3u) -> u32 {
  return group.y * grid.x + group.x;
}

// The variance is taken around the mean in a second pass: E(x^2) - E(x)^2 loses all digits where the mean is large.
@compute @workgroup_size(WG)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let row = row_of(group, grid);
  if (row >= params.rows) { return; }
  let base = row * params.cols;
  var sum = 0.0;
  for (var i = lane; i < params.cols; i += WG) { sum += f32(x[base + i]); }
  let mean = workgroup_sum(sum, lane) / f32(params.cols);
  var squares = 0.0;
  for (var i = lane; i < params.cols; i += WG) {
    let d = f32(x[base + i]) - mean;
    squares += d * d;
  }
  let r = inverseSqrt(workgroup_sum(squares, lane) / f32(params.cols) + params.eps);
  for (var i = lane; i < params.cols; i += WG) {
    y[base + i] = stored((f32(x[base + i]) - mean) * r * w[i] + b[i]);
  }
  if (lane == 0u) { stats_out[row] = vec2f(mean, r); }
}

// With g = dy * w and n = (x - mean) * rstd:  dx = rstd * (g - mean(g) - n * mean(g * n)).  n is recomputed, not stored.
@compute @workgroup_size(WG)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let row = row_of(group, grid);
  if (row >= params.rows) { return; }
  let base = row * params.cols;
  let m = stats[row].x;
  let r = stats[row].y;
  var sum = 0.0;
  var products = 0.0;
  for (var i = lane; i < params.cols; i += WG) {
    let g = f32(dy[base + i]) * w[i];
    sum += g;
    products += g * (f32(x[base + i]) - m) * r;
  }
  let mean_g = workgroup_sum(sum, lane) / f32(params.cols);
  let mean_gn = workgroup_sum(products, lane) / f32(params.cols);
  for (var i = lane; i < params.cols; i += WG) {
    let value = r * (f32(dy[base + i]) * w[i] - mean_g - (f32(x[base + i]) - m) * r * mean_gn);
    if (ACCUMULATE) { dx[base + i] = stored(f32(dx[base + i]) + value); } else { dx[base + i] = stored(value); }
  }
}

// dw[i] = sum over rows of dy * n.  One workgroup per column; only when the norm itself is trained.
@compute @workgroup_size(WG)
fn backward_weight(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let col = group.x;
  var sum = 0.0;
  for (var row = lane; row < params.rows; row += WG) {
    let i = row * params.cols + col;
    sum += f32(dy[i]) * (f32(x[i]) - stats[row].x) * stats[row].y;
  }
  let total = workgroup_sum(sum, lane);
  if (lane == 0u) {
    if (ACCUMULATE) { dw[col] += total; } else { dw[col] = total; }
  }
}
