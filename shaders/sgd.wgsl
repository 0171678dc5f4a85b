// g += wd p,  m = momentum m + g,  p -= lr m,  or with Nesterov's look ahead  p -= lr (g + momentum m)
// Each workgroup goes through a run of elements, as in adamw.wgsl. The order of torch.optim.SGD; the decay is no decoupled one.
struct Params {
  count: u32, // in units of elem
  first_block: u32, block_shift: u32,
  lr: f32,
  decay: f32, // weight_decay
  momentum: f32
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> p: array<elem>;
@group(0) @binding(2) var<storage, read> gradient: array<elem>;
@group(0) @binding(3) var<storage, read_write> m: array<elem>;
@group(0) @binding(4) var<storage, read> outcome: array<f32>; // of gradient-norm.wgsl
@group(0) @binding(5) var<storage, read> rates: array<vec2f>; // of a block: factors of lr and of wd

alias elem = vec4f; // f32 where the size is not a multiple of four
const WG: u32 = 64u;
const NESTEROV: bool = false;
// #import "common/elements.wgsl"
// #import "common/rates.wgsl"

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let factor = outcome[1];
  if (factor == 0.0) { return; } // a gradient was NaN or infinite: nothing changes
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let rate = rates_of(i);
    let g = factor * gradient[i] + rate.y * params.decay * p[i];
    let momentum = params.momentum * m[i] + g;
    m[i] = momentum;
    let update = select(momentum, g + params.momentum * momentum, NESTEROV);
    p[i] -= rate.x * params.lr * update;
  }
}
