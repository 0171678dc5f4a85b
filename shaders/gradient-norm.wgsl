// norm = sqrt(sum g^2),  clip = min(1, max_norm / (norm + 1e-6))  as in PyTorch's clip_grad_norm_
// partial: each workgroup strides over the gradients and leaves one sum; final: one workgroup adds those. If any gradient
// or their sum is not finite, norm is NaN and clip is 0, which tells the optimiser to skip the step.
struct Params {
  count: u32,   // gradients, or partial sums
  max_norm: f32 // no clipping where not positive
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradients: array<u32>;     // the bits of f32 values
@group(0) @binding(2) var<storage, read_write> sums: array<vec2f>;  // of each workgroup: sum of squares, 1 if broken
@group(0) @binding(3) var<storage, read> partials: array<vec2f>;
@group(0) @binding(4) var<storage, read_write> result: array<u32>;  // bits of norm and clip

const WG: u32 = 256u;
const NAN: u32 = 0x7fc00000u; // its bits; WGSL has no such literal
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
  var sum = 0.0;
  var flag = 0.0;
  for (var i = group.x * WG + lane; i < params.count; i += grid.x * WG) {
    let bits = gradients[i];
    let g = bitcast<f32>(bits);
    sum += g * g;
    if (broken(bits)) { flag = 1.0; }
  }
  let total = workgroup_sum(sum, lane);
  let any_broken = workgroup_max(flag, lane);
  if (lane == 0u) { sums[group.x] = vec2f(total, any_broken); }
}

@compute @workgroup_size(WG)
fn final_sum(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  var flag = 0.0;
  for (var i = lane; i < params.count; i += WG) {
    sum += partials[i].x;
    flag = max(flag, partials[i].y);
    if (broken(bitcast<u32>(partials[i].x))) { flag = 1.0; } // the squares overflowed
  }
  let norm = sqrt(workgroup_sum(sum, lane));
  let is_broken = workgroup_max(flag, lane) > 0.0 || broken(bitcast<u32>(norm));
  if (lane == 0u) {
    let clip = select(1.0, min(1.0, params.max_norm / (norm + 1e-6)), params.max_norm > 0.0);
    result[0] = select(bitcast<u32>(norm), NAN, is_broken);
    result[1] = select(bitcast<u32>(clip), 0u, is_broken);
  }
}
