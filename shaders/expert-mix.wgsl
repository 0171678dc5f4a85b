// y[t] = sum_k weights[t, k] x[t, k]
// Each workgroup goes through a run of elements of y, in vectors of four where the rows allow; a sum is in the order of k.
struct Params { count: u32, columns: u32, chosen: u32 } // count and columns in units of elem

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<elem>;            // [T, K, d]
@group(0) @binding(2) var<storage, read> weights: array<f32>;       // [T, K]
@group(0) @binding(3) var<storage, read_write> y: array<elem>;      // [T, d]
@group(0) @binding(4) var<storage, read> dy: array<elem>;           // [T, d]
@group(0) @binding(5) var<storage, read_write> dx: array<elem>;     // [T, K, d]
@group(0) @binding(6) var<storage, read_write> d_weights: array<f32>; // [T, K]

alias elem = vec4f; // f32 where d is not a multiple of four
const PLAIN: bool = false;      // all weights are 1
const ACCUMULATE: bool = false; // add to y instead of overwriting it
const WG: u32 = 64u;
// #import "common/elements.wgsl"

fn weight_of(choice: u32) -> f32 {
  if (PLAIN) { return 1.0; }
  return weights[choice];
}

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let first = i / params.columns * params.chosen;
    let column = i % params.columns;
    var sum = weight_of(first) * x[first * params.columns + column];
    for (var k = 1u; k < params.chosen; k++) {
      sum += weight_of(first + k) * x[(first + k) * params.columns + column];
    }
    if (ACCUMULATE) { y[i] += sum; } else { y[i] = sum; }
  }
}

// dx[t, k] = weights[t, k] dy[t]; count is that of dx
@compute @workgroup_size(WG)
fn backward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let choice = i / params.columns;
    dx[i] = weights[choice] * dy[choice / params.chosen * params.columns + i % params.columns];
  }
}

var<workgroup> partial: array<f32, WG>;

// d weights[t, k] = x[t, k] dy[t]: one workgroup for each
@compute @workgroup_size(WG)
fn backward_weights(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let choice = group.y * grid.x + group.x;
  if (choice >= params.count) { return; }
  let token = choice / params.chosen;
  var sum = vec4f();
  for (var i = lane; i < params.columns; i += WG) {
    sum += widened(x[choice * params.columns + i] * dy[token * params.columns + i]);
  }
  partial[lane] = dot(sum, vec4f(1.0));
  workgroupBarrier();
  if (lane > 0u) { return; }
  var total = 0.0;
  for (var i = 0u; i < WG; i++) { total += partial[i]; }
  d_weights[choice] = total;
}

// A vector, or one value with zeros behind it.
fn widened(value: elem) -> vec4f {
  let all = vec4f(value);
  return select(vec4f(all.x, 0.0, 0.0, 0.0), all, IS_VECTOR);
}
const IS_VECTOR: bool = true;
