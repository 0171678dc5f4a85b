// y[b] = mean of x[b, t] over t < lengths[b],  and backward: dx[b, t] = dy[b] / lengths[b], 0 in the padding
// Each workgroup goes through a run of elements of the output, in vectors of four where cols allows.
struct Params { count: u32, tokens: u32, cols: u32, padded: u32 } // count and cols in units of elem

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<elem>;       // [batch, tokens, cols]
@group(0) @binding(2) var<storage, read> lengths: array<u32>;  // [batch]; not read unless padded is 1
@group(0) @binding(3) var<storage, read_write> y: array<elem>; // [batch, cols]
@group(0) @binding(4) var<storage, read> dy: array<elem>;      // [batch, cols]
@group(0) @binding(5) var<storage, read_write> dx: array<elem>; // [batch, tokens, cols]

alias elem = vec4f; // f32 where cols is not a multiple of four
const ACCUMULATE: bool = false; // add to dx instead of overwriting it
const WG: u32 = 64u;
// #import "common/elements.wgsl"

fn valid(batch: u32) -> u32 {
  if (params.padded == 0u) { return params.tokens; }
  return min(lengths[batch], params.tokens);
}

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let batch = i / params.cols;
    let n = valid(batch);
    let first = batch * params.tokens * params.cols + i % params.cols;
    var sum = elem(0.0);
    for (var t = 0u; t < n; t++) { sum += x[first + t * params.cols]; }
    y[i] = sum / f32(max(n, 1u));
  }
}

@compute @workgroup_size(WG)
fn backward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let row = i / params.cols;
    let batch = row / params.tokens;
    let n = valid(batch);
    var value = elem(0.0);
    if (row % params.tokens < n) { value = dy[batch * params.cols + i % params.cols] / f32(n); }
    if (ACCUMULATE) { dx[i] += value; } else { dx[i] = value; }
  }
}
