// y[i] = x[i] + magnitude (2^-23 (random_bits(seed, i) >> 8) - 1): uniform noise in [-magnitude, magnitude)
// Each workgroup goes through a run of elements, in vectors of four where the size allows.
struct Params {
  count: u32,    // in units of elem
  width: u32,    // elements in an elem
  start: u32,    // number of the first element
  seed: u32,
  magnitude: f32
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read_write> y: array<elem>;

alias elem = vec4f; // f32, with words u32 and LANES 0u, where the size is not a multiple of four
alias words = vec4u;
const LANES: words = vec4u(0u, 1u, 2u, 3u);
const WG: u32 = 64u;
// #import "common/elements.wgsl"
// #import "common/random.wgsl"

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let bits = random_bits(params.seed, words(params.start + i * params.width) + LANES);
    // 24 bits are all that an f32 takes without rounding.
    y[i] = x[i] + params.magnitude * (elem(bits >> words(8u)) / 8388608.0 - 1.0);
  }
}
