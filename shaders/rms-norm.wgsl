// y = x * rstd * (OFFSET + w),  rstd = 1 / sqrt(mean(x^2) + eps)
// LANES invocations per row: a whole workgroup, or one where rows are many and barriers dear; workgroups beyond 65535
// fold into grid y. In vectors of four where the row allows. Zhang & Sennrich 2019, arXiv 1910.07467.
struct Params { rows: u32, cols: u32, eps: f32 } // cols in units of elem

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<stored>;       // [rows, cols]
@group(0) @binding(2) var<storage, read> w: array<elem>;       // [cols]
@group(0) @binding(3) var<storage, read_write> y: array<stored>; // [rows, cols]
@group(0) @binding(4) var<storage, read_write> rstd_out: array<f32>; // [rows], kept for the backward pass
@group(0) @binding(5) var<storage, read> rstd: array<f32>;
@group(0) @binding(6) var<storage, read> dy: array<stored>;      // [rows, cols]
@group(0) @binding(7) var<storage, read_write> dx: array<stored>; // [rows, cols]
@group(0) @binding(8) var<storage, read_write> dw: array<elem>; // [cols]
@group(0) @binding(9) var<storage, read> residual: array<stored>;  // [rows, cols]
@group(0) @binding(10) var<storage, read_write> sum_out: array<stored>; // [rows, cols]

alias elem = vec4f;      // f32 where cols is not a multiple of four
alias stored = elem; // what activations lie in: halves in mixed precision
const WIDTH: u32 = 4u;   // of elem
const WG: u32 = 64u;
const LANES: u32 = 64u;  // WG, or 1
const LINES: u32 = 8u;   // of backward_weight; divides WG
const OFFSET: f32 = 0.0; // 1.0 for families whose checkpoints store w - 1
const ACCUMULATE: bool = false; // add to dx or dw instead of overwriting it
// #import "common/reduce.wgsl"

fn total(value: elem) -> f32 {
  if (WIDTH == 1u) { return vec4f(value).x; }
  return dot(vec4f(value), vec4f(1.0));
}

fn row_sum(value: elem, lane: u32) -> f32 {
  if (LANES == 1u) { return total(value); }
  return workgroup_sum(total(value), lane);
}

fn row_of(group: vec3u, grid: vec3u, lane: u32) -> u32 {
  let index = group.y * grid.x + group.x;
  return select(index, index * WG + lane, LANES == 1u);
}

@compute @workgroup_size(WG)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let row = row_of(group, grid, lane);
  let base = min(row, params.rows - 1u) * params.cols;
  let first = lane % LANES;
  var sum = elem();
  for (var i = first; i < params.cols; i += LANES) {
    let value = elem(x[base + i]);
    sum += value * value;
  }
  let r = inverseSqrt(row_sum(sum, lane) / f32(params.cols * WIDTH) + params.eps);
  if (row >= params.rows) { return; }
  for (var i = first; i < params.cols; i += LANES) {
    y[base + i] = stored(elem(x[base + i]) * r * (OFFSET + w[i]));
  }
  if (first == 0u) { rstd_out[row] = r; }
}

// The same of x + residual, which is kept: the residual stream between the two halves of a layer.
@compute @workgroup_size(WG)
fn forward_sum(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let row = row_of(group, grid, lane);
  let base = min(row, params.rows - 1u) * params.cols;
  let first = lane % LANES;
  var sum = elem();
  for (var i = first; i < params.cols; i += LANES) {
    let value = stored(elem(x[base + i]) + elem(residual[base + i]));
    if (row < params.rows) { sum_out[base + i] = value; }
    sum += elem(value) * elem(value);
  }
  let r = inverseSqrt(row_sum(sum, lane) / f32(params.cols * WIDTH) + params.eps);
  if (row >= params.rows) { return; }
  for (var i = first; i < params.cols; i += LANES) {
    y[base + i] = stored(elem(sum_out[base + i]) * r * (OFFSET + w[i]));
  }
  if (first == 0u) { rstd_out[row] = r; }
}

// With g = dy * (OFFSET + w) and n = x * rstd:  dx = rstd * (g - n * mean(g * n)).  n is recomputed, not stored.
@compute @workgroup_size(WG)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let row = row_of(group, grid, lane);
  let safe = min(row, params.rows - 1u);
  let base = safe * params.cols;
  let first = lane % LANES;
  let r = rstd[safe];
  var sum = elem();
  for (var i = first; i < params.cols; i += LANES) {
    sum += elem(dy[base + i]) * (OFFSET + w[i]) * elem(x[base + i]);
  }
  let scale = r * r * row_sum(sum, lane) / f32(params.cols * WIDTH);
  if (row >= params.rows) { return; }
  for (var i = first; i < params.cols; i += LANES) {
    let value = r * (elem(dy[base + i]) * (OFFSET + w[i]) - elem(x[base + i]) * scale);
    if (ACCUMULATE) { dx[base + i] = stored(elem(dx[base + i]) + value); } else { dx[base + i] = stored(value); }
  }
}

var<workgroup> partial: array<elem, WG>;

// dw[i] = sum over rows of dy * n; only when the norm itself is trained. A workgroup owns WG / LINES columns: each of
// its LINES lines of invocations sums every LINES-th row, then the lines are added.
@compute @workgroup_size(WG)
fn backward_weight(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let column = lane % (WG / LINES);
  let line = lane / (WG / LINES);
  let col = group.x * (WG / LINES) + column;
  let safe = min(col, params.cols - 1u);
  var sum = elem();
  for (var row = line; row < params.rows; row += LINES) {
    let i = row * params.cols + safe;
    sum += elem(dy[i]) * elem(x[i]) * rstd[row];
  }
  if (LINES > 1u) {
    partial[lane] = sum;
    workgroupBarrier();
    for (var i = 1u; i < LINES; i++) { sum += partial[(lane + i * (WG / LINES)) % WG]; }
  }
  if (line > 0u || col >= params.cols) { return; }
  if (ACCUMULATE) { dw[col] += sum; } else { dw[col] = sum; }
}
