// y[r, c] = x[r, c] * scale[c],  y[r, c] = x[r, c] * values[r],  dscale[c] = sum over r of dy[r, c] * x[r, c]
// Each workgroup goes through a run of elements (vectors of four where rows allow); column sums: see column_scale_gradient.
struct Params { count: u32, rows: u32, cols: u32 }

@group(0) @binding(0) var<uniform> params: Params; // count and cols in units of elem; for the gradient, cols in f32
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read> scale: array<elem>;         // [cols]
@group(0) @binding(3) var<storage, read_write> y: array<elem>;
@group(0) @binding(4) var<storage, read> values: array<f32>;         // [rows, cols]: x again; of row_scale the factors [rows]
@group(0) @binding(5) var<storage, read> dy: array<f32>;             // [rows, cols]
@group(0) @binding(6) var<storage, read_write> dscale: array<f32>;   // [cols]

alias elem = vec4f; // f32 where the columns are not a multiple of four
const ACCUMULATE: bool = false; // add to the output instead of overwriting it
const WG: u32 = 64u;
// #import "common/elements.wgsl"

@compute @workgroup_size(WG)
fn column_scale(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let value = x[i] * scale[i % params.cols];
    if (ACCUMULATE) { y[i] += value; } else { y[i] = value; }
  }
}

// rows is the first row of x here: the factors are those of all rows.
@compute @workgroup_size(WG)
fn row_scale(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) { y[i] = x[i] * values[params.rows + i / params.cols]; }
}

var<workgroup> partial: array<f32, 256>;

// A workgroup owns 32 columns; its 8 lines of 32 invocations each sum every eighth row, then the lines are added.
@compute @workgroup_size(32, 8)
fn column_scale_gradient(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) lane: vec3u) {
  let col = group.x * 32u + lane.x;
  var sum = 0.0;
  if (col < params.cols) {
    for (var row = lane.y; row < params.rows; row += 8u) {
      let i = row * params.cols + col;
      sum += dy[i] * values[i];
    }
  }
  partial[lane.y * 32u + lane.x] = sum;
  workgroupBarrier();
  if (lane.y > 0u || col >= params.cols) { return; }
  var total = 0.0;
  for (var line = 0u; line < 8u; line++) { total += partial[line * 32u + lane.x]; }
  if (ACCUMULATE) { dscale[col] += total; } else { dscale[col] = total; }
}
