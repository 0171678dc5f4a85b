// p -= lr wd p,  p -= lr sign(b1 m + (1 - b1) g),  m = b2 m + (1 - b2) g
// Each workgroup goes through a run of elements, as in adamw.wgsl. Chen et al. 2023, arXiv 2302.06675, algorithm 2.
struct Params {
  count: u32, // in units of elem
  first_block: u32, block_shift: u32,
  lr: f32,
  decay: f32, // lr * weight_decay
  beta1: f32, beta2: f32,
  rest1: f32, rest2: f32 // 1 - beta, subtracted in f64
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> p: array<elem>;
@group(0) @binding(2) var<storage, read> gradient: array<elem>;
@group(0) @binding(3) var<storage, read_write> m: array<elem>;
@group(0) @binding(4) var<storage, read> outcome: array<f32>; // of gradient-norm.wgsl
@group(0) @binding(5) var<storage, read> rates: array<vec2f>; // of a block: factors of lr and of wd

alias elem = vec4f; // f32 where the size is not a multiple of four
const WG: u32 = 64u;
// #import "common/elements.wgsl"
// #import "common/rates.wgsl"

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let factor = outcome[1];
  if (factor == 0.0) { return; } // a gradient was NaN or infinite: nothing changes
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let g = factor * gradient[i];
    let rate = rates_of(i);
    let update = sign(params.beta1 * m[i] + params.rest1 * g);
    m[i] = params.beta2 * m[i] + params.rest2 * g;
    p[i] = (1.0 - rate.x * rate.y * params.decay) * p[i] - rate.x * params.lr * update;
  }
}
