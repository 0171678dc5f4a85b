// c[row, col] = sum over s of parts[s, row, col], or c += that: the slices of a product whose sum was cut into several
// Each workgroup goes through a run of elements of c, in vectors of four where the sizes allow.
struct Params { count: u32, slices: u32, n: u32, ldc: u32, c_offset: u32 } // all but slices in units of elem

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parts: array<elem>;   // [slices, count]
@group(0) @binding(2) var<storage, read_write> c: array<stored>; // rows of n, ldc apart

alias elem = vec4f; // f32 where a size is not a multiple of four
alias stored = elem; // what activations lie in: halves in mixed precision
const ACCUMULATE: bool = false; // add to c instead of overwriting it
const WG: u32 = 64u;
// #import "common/elements.wgsl"

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    var sum = parts[i];
    for (var s = 1u; s < params.slices; s++) { sum += parts[s * params.count + i]; }
    let at = params.c_offset + i / params.n * params.ldc + i % params.n;
    if (ACCUMULATE) { sum += elem(c[at]); }
    c[at] = stored(sum);
  }
}
