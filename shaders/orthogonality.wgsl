// norm = sqrt(sum (gram - I)^2),  total += weight norm,  gram = 2 weight (gram - I) / norm
// A single workgroup: a rank has few rows. gram becomes what its matrix is multiplied with for the gradient of weight * norm.
struct Params { rows: u32, weight: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> gram: array<f32>;  // [rows, rows]
@group(0) @binding(2) var<storage, read_write> total: array<f32>; // [1]

const WG: u32 = 64u;
// #import "common/reduce.wgsl"

fn distance(i: u32) -> f32 {
  return gram[i] - select(0.0, 1.0, i / params.rows == i % params.rows);
}

@compute @workgroup_size(WG)
fn forward(@builtin(local_invocation_index) lane: u32) {
  let count = params.rows * params.rows;
  var sum = 0.0;
  for (var i = lane; i < count; i += WG) { sum += distance(i) * distance(i); }
  let norm = sqrt(workgroup_sum(sum, lane));
  // At 0 the norm has no slope; PyTorch takes 0, too.
  let factor = select(0.0, 2.0 * params.weight / norm, norm > 0.0);
  for (var i = lane; i < count; i += WG) { gram[i] = factor * distance(i); }
  if (lane == 0u) { total[0] += params.weight * norm; }
}
