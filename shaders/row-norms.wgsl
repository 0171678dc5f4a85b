// sums[r] = sum over c of x[r, c]^2,  inverse[r] = 1 / sqrt(sums[r] + sum over k of b[r, k] * p[k, r])
// LANES invocations per row of squares: a whole workgroup, or one where rows are many and barriers dear; one per row of inverse.
struct Params { rows: u32, cols: u32 } // cols in units of elem; of b for inverse, 0 where there is none

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<elem>;             // [rows, cols]
@group(0) @binding(2) var<storage, read_write> sums_out: array<f32>; // [rows]
@group(0) @binding(3) var<storage, read> sums: array<f32>;           // [rows]
@group(0) @binding(4) var<storage, read> b: array<f32>;              // [rows, cols]
@group(0) @binding(5) var<storage, read> p: array<f32>;              // [cols, rows]
@group(0) @binding(6) var<storage, read_write> inverse_out: array<f32>; // [rows]

alias elem = vec4f;      // f32 where cols is not a multiple of four
const WIDTH: u32 = 4u;   // of elem
const WG: u32 = 64u;
const LANES: u32 = 64u;  // WG, or 1
// #import "common/reduce.wgsl"

fn total(value: elem) -> f32 {
  if (WIDTH == 1u) { return vec4f(value).x; }
  return dot(vec4f(value), vec4f(1.0));
}

@compute @workgroup_size(WG)
fn squares(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let index = group.y * grid.x + group.x;
  let row = select(index, index * WG + lane, LANES == 1u);
  let base = min(row, params.rows - 1u) * params.cols;
  var sum = elem();
  for (var i = lane % LANES; i < params.cols; i += LANES) { sum += x[base + i] * x[base + i]; }
  var result = total(sum);
  if (LANES > 1u) { result = workgroup_sum(result, lane); }
  if (row < params.rows) { sums_out[row] = result; }
}

@compute @workgroup_size(WG)
fn inverse(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let row = (group.y * grid.x + group.x) * WG + lane;
  if (row >= params.rows) { return; }
  var sum = sums[row];
  for (var k = 0u; k < params.cols; k++) { sum += b[row * params.cols + k] * p[k * params.rows + row]; }
  inverse_out[row] = inverseSqrt(max(sum, 1e-30)); // a row of zeros has no direction: 0 times this stays 0
}
