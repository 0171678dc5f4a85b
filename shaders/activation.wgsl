// y = act(x),  and backward: dx = dy * act'(x)
// Each workgroup goes through a run of elements, in vectors of four where the size allows.
struct Params { count: u32 } // in units of elem

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<stored>;
@group(0) @binding(2) var<storage, read_write> y: array<stored>;
@group(0) @binding(3) var<storage, read> dy: array<stored>;
@group(0) @binding(4) var<storage, read_write> dx: array<stored>;

alias elem = vec4f; // f32 where the size is not a multiple of four
alias stored = elem; // what activations lie in: halves in mixed precision
const ACTIVATION: u32 = 2u;
const ACCUMULATE: bool = false; // add to dx instead of overwriting it
const WG: u32 = 64u;
// #import "common/elements.wgsl"
// #import "common/activation.wgsl"

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) { y[i] = stored(activated(elem(x[i])).value); }
}

@compute @workgroup_size(WG)
fn backward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let value = elem(dy[i]) * activated(elem(x[i])).slope;
    if (ACCUMULATE) { dx[i] = stored(elem(dx[i]) + value); } else { dx[i] = stored(value); }
  }
}
