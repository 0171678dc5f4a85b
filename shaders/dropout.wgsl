// y[i] = x[i] / (1 - p) where random_bits(seed, i) >= p 2^32, else 0
// Each workgroup goes through a run of elements, in vectors of four where the size allows. The mask depends on seed and i
// only, so the backward pass is the same kernel with the same seed.
struct Params {
  count: u32,     // in units of elem
  width: u32,     // elements in an elem
  start: u32,     // number of the first element
  seed: u32,
  threshold: u32, // p 2^32
  factor: f32     // 1 / (1 - p)
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<stored>;
@group(0) @binding(2) var<storage, read_write> y: array<stored>;

alias elem = vec4f; // f32, with words u32 and LANES 0u, where the size is not a multiple of four
alias stored = elem; // what activations lie in: halves in mixed precision
alias words = vec4u;
const LANES: words = vec4u(0u, 1u, 2u, 3u);
const ACCUMULATE: bool = false; // add to y instead of overwriting it
const WG: u32 = 64u;
// #import "common/elements.wgsl"
// #import "common/random.wgsl"

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let bits = random_bits(params.seed, words(params.start + i * params.width) + LANES);
    let value = select(elem(0.0), params.factor * elem(x[i]), bits >= words(params.threshold));
    if (ACCUMULATE) { y[i] = stored(elem(y[i]) + value); } else { y[i] = stored(value); }
  }
}
