// AdamW as in adamw.wgsl, whose moments are codes of 8 bits: a moment is table[code] * scale of its block of 256 elements.
// One workgroup per block: each of its 64 invocations decodes four neighbours, updates them, and encodes them again once the
// largest of the block is known. Dettmers et al. 2021, arXiv 2110.02861.
struct Params {
  count: u32, // elements, a multiple of four
  first_block: u32, block_shift: u32,
  decay: f32, // lr * weight_decay
  beta1: f32, beta2: f32,
  rest1: f32, rest2: f32, // 1 - beta, subtracted in f64
  step: f32,            // lr / (1 - beta1^t)
  root_correction: f32, // sqrt(1 - beta2^t)
  eps: f32
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> p: array<vec4f>;
@group(0) @binding(2) var<storage, read> gradient: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> m: array<u32>; // four codes each
@group(0) @binding(4) var<storage, read_write> v: array<u32>;
@group(0) @binding(5) var<storage, read_write> scales: array<vec2f>; // of m and of v, [blocks of 256]
@group(0) @binding(6) var<storage, read> tables: array<f32>;  // [512]: rising values of m's codes, then of v's
@group(0) @binding(7) var<storage, read> outcome: array<f32>; // of gradient-norm.wgsl
@group(0) @binding(8) var<storage, read> rates: array<vec2f>; // of a block of 64: factors of lr and of wd

const WG: u32 = 64u;
const SHIFTS: vec4u = vec4u(0u, 8u, 16u, 24u); // of four codes in a word

fn decode(codes: u32, table: u32) -> vec4f {
  let c = (vec4u(codes) >> SHIFTS) & vec4u(255u);
  return vec4f(tables[table + c.x], tables[table + c.y], tables[table + c.z], tables[table + c.w]);
}

// The code of the value nearest to x; of two as near the lower one.
fn encode(x: f32, table: u32) -> u32 {
  var code = 0u;
  for (var bit = 128u; bit > 0u; bit /= 2u) {
    let at = table + code + bit;
    code += select(0u, bit, x > 0.5 * (tables[at - 1u] + tables[at]));
  }
  return code;
}

fn encode_all(x: vec4f, table: u32) -> u32 {
  let c = vec4u(encode(x.x, table), encode(x.y, table), encode(x.z, table), encode(x.w, table)) << SHIFTS;
  return c.x | c.y | c.z | c.w;
}

fn largest(x: vec4f) -> f32 {
  return max(max(x.x, x.y), max(x.z, x.w));
}

// #import "common/rates.wgsl"
// #import "common/reduce.wgsl"

@compute @workgroup_size(WG)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let index = group.y * grid.x + group.x;
  let i = index * WG + lane;
  let factor = outcome[1];
  // Behind the end, or a gradient was NaN or infinite: nothing changes.
  let is_idle = i >= params.count / 4u || factor == 0.0;
  var first = vec4f();
  var second = vec4f();
  if (!is_idle) {
    let g = factor * gradient[i];
    let scale = scales[index];
    first = params.beta1 * scale.x * decode(m[i], 0u) + params.rest1 * g;
    second = params.beta2 * scale.y * decode(v[i], 256u) + params.rest2 * g * g;
  }
  let top_m = workgroup_max(largest(abs(first)), lane);
  let top_v = workgroup_max(largest(second), lane);
  if (is_idle) { return; }
  let rate = rates_of(i);
  let kept = 1.0 - rate.x * rate.y * params.decay;
  p[i] = kept * p[i] - rate.x * params.step * first / (sqrt(second) / params.root_correction + params.eps);
  m[i] = encode_all(first / max(top_m, 1e-38), 0u);
  v[i] = encode_all(second / max(top_v, 1e-38), 256u);
  if (lane == 0u) { scales[index] = vec2f(top_m, top_v); }
}
