// gather: y[m] = x[index[m]],  scatter: y[index[m]] = x[m]
// Each workgroup goes through a run of elements of the [M, cols] side, in vectors of four where cols allows.
struct Params { count: u32, cols: u32 } // in units of elem

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<stored>;
@group(0) @binding(2) var<storage, read> index: array<u32>; // [M], unique
@group(0) @binding(3) var<storage, read_write> y: array<stored>;

alias elem = vec4f; // f32 where cols is not a multiple of four
alias stored = elem; // what activations lie in: halves in mixed precision
const ACCUMULATE: bool = false; // add to y instead of overwriting it
const WG: u32 = 64u;
// #import "common/elements.wgsl"

@compute @workgroup_size(WG)
fn gather(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    y[i] = x[index[i / params.cols] * params.cols + i % params.cols];
  }
}

@compute @workgroup_size(WG)
fn scatter(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let at = index[i / params.cols] * params.cols + i % params.cols;
    if (ACCUMULATE) { y[at] = stored(elem(y[at]) + elem(x[i])); } else { y[at] = x[i]; }
  }
}
