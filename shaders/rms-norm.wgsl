// y = x * rstd * (OFFSET + w),  rstd = 1 / sqrt(mean(x^2) + eps)
// One workgroup per row; rows beyond 65535 fold into grid y. Zhang & Sennrich 2019, arXiv 1910.07467.
struct Params { rows: u32, cols: u32, eps: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;       // [rows, cols]
@group(0) @binding(2) var<storage, read> w: array<f32>;       // [cols]
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [rows, cols]
@group(0) @binding(4) var<storage, read_write> rstd_out: array<f32>; // [rows], kept for the backward pass
@group(0) @binding(5) var<storage, read> rstd: array<f32>;
@group(0) @binding(6) var<storage, read> dy: array<f32>;      // [rows, cols]
@group(0) @binding(7) var<storage, read_write> dx: array<f32>; // [rows, cols]
@group(0) @binding(8) var<storage, read_write> dw: array<f32>; // [cols]

const WG: u32 = 64u;
const OFFSET: f32 = 0.0; // 1.0 for families whose checkpoints store w - 1
const ACCUMULATE: bool = false; // add to dx or dw instead of overwriting it
// #import "common/reduce.wgsl"

fn row_of(group: vec3u, grid: vec3u) -> u32 {
  return group.y * grid.x + group.x;
}

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
  for (var i = lane; i < params.cols; i += WG) {
    sum += x[base + i] * x[base + i];
  }
  let r = inverseSqrt(workgroup_sum(sum, lane) / f32(params.cols) + params.eps);
  for (var i = lane; i < params.cols; i += WG) {
    y[base + i] = x[base + i] * r * (OFFSET + w[i]);
  }
  if (lane == 0u) { rstd_out[row] = r; }
}

// With g = dy * (OFFSET + w) and n = x * rstd:  dx = rstd * (g - n * mean(g * n)).  n is recomputed, not stored.
@compute @workgroup_size(WG)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let row = row_of(group, grid);
  if (row >= params.rows) { return; }
  let base = row * params.cols;
  let r = rstd[row];
  var sum = 0.0;
  for (var i = lane; i < params.cols; i += WG) {
    sum += dy[base + i] * (OFFSET + w[i]) * x[base + i] * r;
  }
  let mean = workgroup_sum(sum, lane) / f32(params.cols);
  for (var i = lane; i < params.cols; i += WG) {
    let value = r * (dy[base + i] * (OFFSET + w[i]) - x[base + i] * r * mean);
    if (ACCUMULATE) { dx[base + i] += value; } else { dx[base + i] = value; }
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
    sum += dy[row * params.cols + col] * x[row * params.cols + col] * rstd[row];
  }
  let total = workgroup_sum(sum, lane);
  if (lane == 0u) {
    if (ACCUMULATE) { dw[col] += total; } else { dw[col] = total; }
  }
}
