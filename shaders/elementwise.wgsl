// y = a + factor * b,  y = a * b,  y = factor * a,  y = other,  y = scalar * a,  y += a,  y = factor * tanh(a / factor),  y[r, c] += bias[c],  db[c] = sum over r of dy[r, c]
// Each workgroup goes through a run of elements (vectors of four where the size allows); column sums: see bias_gradient.
struct Params { count: u32, rows: u32, cols: u32, factor: f32 }

@group(0) @binding(0) var<uniform> params: Params; // count and cols in units of elem
@group(0) @binding(1) var<storage, read> a: array<stored>;
@group(0) @binding(2) var<storage, read> b: array<stored>;
@group(0) @binding(3) var<storage, read_write> y: array<stored>;
@group(0) @binding(4) var<storage, read> dy: array<stored_one>;       // [rows, cols]
@group(0) @binding(5) var<storage, read_write> db: array<f32>; // [cols]
@group(0) @binding(6) var<storage, read> scalar: array<f32>;   // [1]
@group(0) @binding(7) var<storage, read> bias: array<elem>;     // [cols]
@group(0) @binding(8) var<storage, read> other: array<other_stored>;

alias elem = vec4f; // f32 where a size is not a multiple of four
alias stored = elem; // what activations lie in: halves in mixed precision
alias stored_one = f32;
alias other_stored = elem;
const ACCUMULATE: bool = false; // add to the output instead of overwriting it
const WG: u32 = 64u;
// #import "common/elements.wgsl"

@compute @workgroup_size(WG)
fn add(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) { y[i] = stored(elem(a[i]) + params.factor * elem(b[i])); }
}

@compute @workgroup_size(WG)
fn multiply(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) { y[i] = stored(elem(a[i]) * elem(b[i])); }
}

@compute @workgroup_size(WG)
fn add_into(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) { y[i] = stored(elem(y[i]) + elem(a[i])); }
}

// Halves are added to as values of 32 bits.
fn put(i: u32, value: elem) {
  if (ACCUMULATE) { y[i] = stored(elem(y[i]) + value); } else { y[i] = stored(value); }
}

@compute @workgroup_size(WG)
fn scale(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) { put(i, params.factor * elem(a[i])); }
}

@compute @workgroup_size(WG)
fn scale_by(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) { put(i, scalar[0] * elem(a[i])); }
}

// From what one type of elements holds to another.
@compute @workgroup_size(WG)
fn convert(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) { put(i, elem(other[i])); }
}

// Some drivers return NaN for large arguments of tanh, and tanh(15) rounds to 1.
fn cap(x: elem) -> elem {
  return params.factor * tanh(clamp(x / params.factor, elem(-15.0), elem(15.0)));
}

@compute @workgroup_size(WG)
fn softcap(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) { y[i] = stored(cap(elem(a[i]))); }
}

// With t = tanh(a / factor):  y = b (1 - t^2), where b is the gradient of the capped values a.
@compute @workgroup_size(WG)
fn softcap_backward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let t = elem(a[i]) / params.factor;
    put(i, elem(b[i]) * (1.0 - t * t));
  }
}

@compute @workgroup_size(WG)
fn fill(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) { y[i] = stored(elem(params.factor)); }
}

@compute @workgroup_size(WG)
fn add_bias(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) { y[i] = stored(elem(y[i]) + bias[i % params.cols]); }
}

var<workgroup> partial: array<f32, 256>;

// A workgroup owns 32 columns; its 8 lines of 32 invocations each sum every eighth row, then the lines are added.
@compute @workgroup_size(32, 8)
fn bias_gradient(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) lane: vec3u) {
  let col = group.x * 32u + lane.x;
  var sum = 0.0;
  if (col < params.cols) {
    for (var row = lane.y; row < params.rows; row += 8u) { sum += f32(dy[row * params.cols + col]); }
  }
  partial[lane.y * 32u + lane.x] = sum;
  workgroupBarrier();
  if (lane.y > 0u || col >= params.cols) { return; }
  var total = 0.0;
  for (var line = 0u; line < 8u; line++) { total += partial[line * 32u + lane.x]; }
  if (ACCUMULATE) { db[col] += total; } else { db[col] = total; }
}
