// m = mu m + (1 - mu) g,  u = m, or with Nesterov's look ahead (1 - mu) g + mu m;  X = u / max(|u|, eps);
// p -= lr wd p,  p -= lr O,  O being what Newton-Schulz makes of X. Jordan et al. 2024, in the order of torch.optim.Muon.
struct Params {
  count: u32, // in units of elem; of normalise in elements
  first_block: u32, block_shift: u32,
  momentum: f32, rest: f32, // mu and 1 - mu
  eps: f32,
  lr: f32,
  decay: f32 // weight_decay times the rate before it was adjusted to the shape
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> p: array<elem>;
@group(0) @binding(2) var<storage, read> gradient: array<elem>;
@group(0) @binding(3) var<storage, read_write> m: array<elem>;
@group(0) @binding(4) var<storage, read_write> u: array<elem>;
@group(0) @binding(5) var<storage, read> outcome: array<f32>; // of gradient-norm.wgsl
@group(0) @binding(6) var<storage, read> rates: array<vec2f>; // of a block: factors of lr and of wd
@group(0) @binding(7) var<storage, read> orthogonal: array<elem>;
@group(0) @binding(8) var<storage, read> source: array<f32>;
@group(0) @binding(9) var<storage, read_write> normal: array<f32>;

alias elem = vec4f; // f32 where the size is not a multiple of four
const WG: u32 = 64u;
const NESTEROV: bool = true;
// #import "common/elements.wgsl"
// #import "common/rates.wgsl"
// #import "common/reduce.wgsl"

@compute @workgroup_size(WG)
fn momentum(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let factor = outcome[1];
  if (factor == 0.0) { return; } // a gradient was NaN or infinite: nothing changes
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let g = factor * gradient[i];
    let kept = params.momentum * m[i] + params.rest * g;
    m[i] = kept;
    u[i] = select(kept, params.rest * g + params.momentum * kept, NESTEROV);
  }
}

// One workgroup.
@compute @workgroup_size(WG)
fn normalise(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  for (var i = lane; i < params.count; i += WG) { sum += source[i] * source[i]; }
  let norm = max(sqrt(workgroup_sum(sum, lane)), params.eps);
  for (var i = lane; i < params.count; i += WG) { normal[i] = source[i] / norm; }
}

@compute @workgroup_size(WG)
fn apply(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  if (outcome[1] == 0.0) { return; }
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let rate = rates_of(i);
    p[i] = (1.0 - rate.x * rate.y * params.decay) * p[i] - rate.x * params.lr * orthogonal[i];
  }
}
