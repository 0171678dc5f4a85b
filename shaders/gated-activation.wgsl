// y = act(gate) * up
// Each workgroup goes through a run of elements, in vectors of four where the size allows. Shazeer 2020, arXiv 2002.05202.
struct Params { count: u32 } // in units of elem

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gate: array<stored>;
@group(0) @binding(2) var<storage, read> up: array<stored>;
@group(0) @binding(3) var<storage, read_write> y: array<stored>;
@group(0) @binding(4) var<storage, read> dy: array<stored>;
@group(0) @binding(5) var<storage, read_write> dgate: array<stored>;
@group(0) @binding(6) var<storage, read_write> dup: array<stored>;

alias elem = vec4f; // f32 where the size is not a multiple of four
alias stored = elem; // what activations lie in: halves in mixed precision
const ACTIVATION: u32 = 0u;
const WG: u32 = 64u;
// #import "common/elements.wgsl"
// #import "common/activation.wgsl"

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) { y[i] = stored(activated(elem(gate[i])).value * elem(up[i])); }
}

// dgate = dy * up * act'(gate),  dup = dy * act(gate)
@compute @workgroup_size(WG)
fn backward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let g = elem(dy[i]);
    let act = activated(elem(gate[i]));
    dgate[i] = stored(g * elem(up[i]) * act.slope);
    dup[i] = stored(g * act.value);
  }
}
