// norm = sqrt(sum (factor g)^2),  clip = min(1, max_norm / (norm + 1e-6))  as in PyTorch's clip_grad_norm_
// partial: each workgroup sums a run of gradients; final: one workgroup adds those. If any gradient or their sum is not
// finite, norm is NaN and clip is 0, which tells the optimiser to skip the step.
struct Params {
  count: u32,   // gradients in units of words, or partial sums
  max_norm: f32, // no clipping where not positive
  factor: f32,  // of every gradient: 1 / terms of the step
  first: u32    // where this dispatch's sums begin
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradients: array<words>;   // the bits of f32 values
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;    // of each workgroup
@group(0) @binding(3) var<storage, read> partials: array<f32>;
@group(0) @binding(4) var<storage, read_write> result: array<u32>;  // bits of norm and clip
@group(0) @binding(5) var<storage, read> loss: array<u32>;          // bits of the step's summed loss

alias words = vec4u; // u32, with elem f32, where the size is not a multiple of four
alias elem = vec4f;
const SINGLE: bool = false; // they are
const WG: u32 = 256u;
const HUGE: f32 = 3e38;       // the sum of squares where a gradient is NaN or infinite
const NAN: u32 = 0x7fc00000u; // its bits; WGSL has no such literal
// #import "common/elements.wgsl"
// #import "common/reduce.wgsl"

// x != x is false for NaN on some drivers: only the bits tell.
fn broken(bits: u32) -> bool {
  return (bits & 0x7f800000u) == 0x7f800000u;
}

@compute @workgroup_size(WG)
fn partial(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  var sum = elem();
  var exponents = words();
  let own = own_elements(group.x * WG + lane, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let bits = gradients[i];
    let g = params.factor * bitcast<elem>(bits);
    sum += g * g;
    exponents = max(exponents, bits & words(0x7f800000u));
  }
  let is_broken = any(exponents == words(0x7f800000u));
  let squares = dot(vec4f(sum), select(vec4f(1.0), vec4f(1.0, 0.0, 0.0, 0.0), SINGLE));
  let total = workgroup_sum(select(squares, HUGE, is_broken), lane);
  if (lane == 0u) { sums[params.first + group.x] = total; }
}

fn sum_of_partials(lane: u32) -> f32 {
  var sum = 0.0;
  for (var i = lane; i < params.count; i += WG) { sum += partials[i]; }
  return workgroup_sum(sum, lane);
}

fn is_huge(total: f32) -> bool {
  return total >= HUGE || broken(bitcast<u32>(total)); // or the squares overflowed
}

fn clip_of(norm: f32) -> f32 {
  return select(1.0, min(1.0, params.max_norm / (norm + 1e-6)), params.max_norm > 0.0);
}

@compute @workgroup_size(WG)
fn final_sum(@builtin(local_invocation_index) lane: u32) {
  let total = sum_of_partials(lane);
  let norm = sqrt(total);
  if (lane == 0u) {
    result[0] = select(bitcast<u32>(norm), NAN, is_huge(total));
    result[1] = select(bitcast<u32>(clip_of(norm)), 0u, is_huge(total));
  }
}

// The same of an optimiser step: clip is multiplied by factor, and is 0 also where the loss is not finite, and from such a
// step on until the host writes another value: what was recorded after it changes nothing.
@compute @workgroup_size(WG)
fn judge(@builtin(local_invocation_index) lane: u32) {
  let total = sum_of_partials(lane);
  let norm = sqrt(total);
  if (lane == 0u) {
    let is_bad = result[1] == 0u || is_huge(total) || broken(loss[0]);
    result[0] = select(bitcast<u32>(norm), NAN, is_huge(total));
    result[1] = select(bitcast<u32>(params.factor * clip_of(norm)), 0u, is_bad);
  }
}
