// slice: y[r, c] = x[r, start + c],  backward: dx[r, start + c] = dy[r, c]
// Each workgroup goes through a run of elements of the narrow side, in vectors of four where the sizes allow.
struct Params { count: u32, narrow: u32, wide: u32, start: u32 } // in units of elem; narrow and wide are row lengths

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<stored>;        // [rows, wide]
@group(0) @binding(2) var<storage, read_write> y: array<stored>;  // [rows, narrow]
@group(0) @binding(3) var<storage, read> dy: array<stored>;       // [rows, narrow]
@group(0) @binding(4) var<storage, read_write> dx: array<stored>; // [rows, wide]; other columns stay as they are

alias elem = vec4f; // f32 where a size is not a multiple of four
alias stored = elem; // what activations lie in: halves in mixed precision
const ACCUMULATE: bool = false; // add to dx instead of overwriting it
const WG: u32 = 64u;
// #import "common/elements.wgsl"

fn wide_index(i: u32) -> u32 {
  return i / params.narrow * params.wide + params.start + i % params.narrow;
}

@compute @workgroup_size(WG)
fn slice(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) { y[i] = x[wide_index(i)]; }
}

@compute @workgroup_size(WG)
fn backward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let at = wide_index(i);
    if (ACCUMULATE) { dx[at] = stored(elem(dx[at]) + elem(dy[i])); } else { dx[at] = dy[i]; }
  }
}
