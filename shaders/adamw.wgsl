// p -= lr wd p,  m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2,  p -= step m / (sqrt(v) / root_correction + eps)
// Each workgroup goes through a run of elements, in vectors of four where the size allows; g = factor * gradient, lr and wd
// times the rates of the element. Loshchilov & Hutter 2019, arXiv 1711.05101, in the order of torch.optim.AdamW.
struct Params {
  count: u32,           // in units of elem
  first_block: u32, block_shift: u32,
  decay: f32,           // lr * weight_decay
  beta1: f32, beta2: f32,
  rest1: f32, rest2: f32, // 1 - beta, subtracted in f64
  step: f32,            // lr / (1 - beta1^t)
  root_correction: f32, // sqrt(1 - beta2^t)
  eps: f32
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> p: array<elem>;
@group(0) @binding(2) var<storage, read> gradient: array<elem>;
@group(0) @binding(3) var<storage, read_write> m: array<elem>;
@group(0) @binding(4) var<storage, read_write> v: array<elem>;
@group(0) @binding(5) var<storage, read> outcome: array<f32>; // of gradient-norm.wgsl
@group(0) @binding(6) var<storage, read> rates: array<vec2f>; // of a block: factors of lr and of wd

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
    let first = params.beta1 * m[i] + params.rest1 * g;
    let second = params.beta2 * v[i] + params.rest2 * g * g;
    m[i] = first;
    v[i] = second;
    let kept = 1.0 - rate.x * rate.y * params.decay;
    p[i] = kept * p[i] - rate.x * params.step * first / (sqrt(second) / params.root_correction + params.eps);
  }
}
