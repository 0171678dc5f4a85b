// y[n, c, r, u] = x[n, r, c, u]
// Each workgroup goes through a run of elements of y (vectors of four where units allow).
struct Params { count: u32, rows: u32, cols: u32, unit: u32 }

@group(0) @binding(0) var<uniform> params: Params; // count and unit in units of elem
@group(0) @binding(1) var<storage, read> x: array<stored>;       // [n, rows, cols, unit]
@group(0) @binding(2) var<storage, read_write> y: array<stored>; // [n, cols, rows, unit]

alias elem = vec4f; // f32 where the unit is not a multiple of four
alias stored = elem; // what activations lie in: halves in mixed precision
const ACCUMULATE: bool = false; // add to the output instead of overwriting it
const WG: u32 = 64u;
// #import "common/elements.wgsl"

@compute @workgroup_size(WG)
fn swap_axes(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let pair = i / params.unit;          // (n * cols + c) * rows + r
    let line = pair / params.rows;       // n * cols + c
    let row = line / params.cols * params.rows + pair % params.rows;
    let value = x[(row * params.cols + line % params.cols) * params.unit + i % params.unit];
    if (ACCUMULATE) { y[i] = stored(elem(y[i]) + elem(value)); } else { y[i] = value; }
  }
}
