// r = b r + (1 - b) mean over columns of (g^2 + eps),  c the same over rows,  u = g / sqrt(r / mean(r)) / sqrt(c),
// p -= lr wd p,  p -= lr u / max(1, rms(u) / clip).  Shazeer & Stern 2018, arXiv 1804.04235, in the order of transformers.
// Of all matrices at once: what their rows, columns and they themselves are stands in tables. A vector is one row.
struct Params {
  count: u32, // rows, columns or matrices
  first_block: u32, block_shift: u32,
  beta2: f32, rest2: f32, // b of this step and 1 - b
  eps: f32,
  clip: f32,
  lr: f32,
  decay: f32 // lr * weight_decay
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> p: array<f32>;
@group(0) @binding(2) var<storage, read> gradient: array<f32>;
@group(0) @binding(3) var<storage, read_write> row_squares: array<f32>;
@group(0) @binding(4) var<storage, read_write> column_squares: array<f32>;
@group(0) @binding(5) var<storage, read> row_table: array<vec4u>;    // first element, columns, matrix, first column
@group(0) @binding(6) var<storage, read> column_table: array<vec4u>; // first element, rows, columns of its matrix
@group(0) @binding(7) var<storage, read> matrix_table: array<vec4u>; // first row, rows, columns
@group(0) @binding(8) var<storage, read_write> sums: array<f32>;     // of u^2 of each row
@group(0) @binding(9) var<storage, read_write> factors: array<vec2f>; // of each matrix: mean(r), and what u is multiplied by
@group(0) @binding(10) var<storage, read> outcome: array<f32>;       // of gradient-norm.wgsl
@group(0) @binding(11) var<storage, read> rates: array<vec2f>;       // of a block: factors of lr and of wd

const WG: u32 = 64u;
// #import "common/rates.wgsl"
// #import "common/reduce.wgsl"

// One workgroup per row.
@compute @workgroup_size(WG)
fn row_means(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let row = group.y * grid.x + group.x;
  if (row >= params.count) { return; }
  let factor = outcome[1];
  if (factor == 0.0) { return; } // a gradient was NaN or infinite: nothing changes
  let info = row_table[row];
  var sum = 0.0;
  for (var i = lane; i < info.y; i += WG) {
    let g = factor * gradient[info.x + i];
    sum += g * g + params.eps;
  }
  let total = workgroup_sum(sum, lane);
  if (lane == 0u) {
    row_squares[row] = params.beta2 * row_squares[row] + params.rest2 * total / f32(info.y);
  }
}

// One invocation per column.
@compute @workgroup_size(WG)
fn column_means(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let column = id.y * grid.x * WG + id.x;
  if (column >= params.count) { return; }
  let factor = outcome[1];
  if (factor == 0.0) { return; }
  let info = column_table[column];
  var sum = 0.0;
  for (var row = 0u; row < info.y; row++) {
    let g = factor * gradient[info.x + row * info.z];
    sum += g * g + params.eps;
  }
  column_squares[column] = params.beta2 * column_squares[column] + params.rest2 * sum / f32(info.y);
}

// One workgroup per matrix.
@compute @workgroup_size(WG)
fn matrix_means(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let matrix = group.y * grid.x + group.x;
  if (matrix >= params.count) { return; }
  let info = matrix_table[matrix];
  var sum = 0.0;
  for (var i = lane; i < info.y; i += WG) { sum += row_squares[info.x + i]; }
  let total = workgroup_sum(sum, lane);
  if (lane == 0u) { factors[matrix] = vec2f(total / f32(info.y), 1.0); }
}

fn update_of(row: u32, info: vec4u, i: u32, factor: f32) -> f32 {
  let r = inverseSqrt(row_squares[row] / factors[info.z].x);
  return r * inverseSqrt(column_squares[info.w + i]) * factor * gradient[info.x + i];
}

// One workgroup per row.
@compute @workgroup_size(WG)
fn row_sums(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let row = group.y * grid.x + group.x;
  if (row >= params.count) { return; }
  let factor = outcome[1];
  let info = row_table[row];
  var sum = 0.0;
  for (var i = lane; i < info.y; i += WG) {
    let u = update_of(row, info, i, factor);
    sum += u * u;
  }
  let total = workgroup_sum(sum, lane);
  if (lane == 0u) { sums[row] = total; }
}

// One workgroup per matrix.
@compute @workgroup_size(WG)
fn matrix_factors(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let matrix = group.y * grid.x + group.x;
  if (matrix >= params.count) { return; }
  let info = matrix_table[matrix];
  var sum = 0.0;
  for (var i = lane; i < info.y; i += WG) { sum += sums[info.x + i]; }
  let total = workgroup_sum(sum, lane);
  let rms = sqrt(total / (f32(info.y) * f32(info.z)));
  if (lane == 0u) { factors[matrix].y = 1.0 / max(1.0, rms / params.clip); }
}

// One workgroup per row.
@compute @workgroup_size(WG)
fn apply(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let row = group.y * grid.x + group.x;
  if (row >= params.count) { return; }
  let factor = outcome[1];
  if (factor == 0.0) { return; }
  let info = row_table[row];
  for (var i = lane; i < info.y; i += WG) {
    let at = info.x + i;
    let rate = rates_of(at);
    let u = factors[info.z].y * update_of(row, info, i, factor);
    p[at] = (1.0 - rate.x * rate.y * params.decay) * p[at] - rate.x * params.lr * u;
  }
}
