// y[i] = decode(words, i): a weight of any format as f32
// Each workgroup goes through a run of values. Those of 16 bits take integer arithmetic, because drivers may flush subnormals.
struct Params {
  count: u32,
  b_first: u32 // values of the weight before these
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> words: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>; // bits of f32 values
@group(0) @binding(3) var<storage, read> scales: array<u32>;
@group(0) @binding(4) var<storage, read> zeros: array<u32>;

const WG: u32 = 64u;
// #import "common/weight.wgsl"
// #import "common/weight-table.wgsl"
// #import "common/elements.wgsl"

fn f16_bits(code: u32) -> u32 {
  let sign = (code & 0x8000u) << 16u;
  let exponent = (code >> 10u) & 0x1fu;
  let fraction = code & 0x03ffu;
  if (exponent == 0x1fu) { return sign | 0x7f800000u | (fraction << 13u); }
  if (exponent != 0u) { return sign | ((exponent + 112u) << 23u) | (fraction << 13u); }
  if (fraction == 0u) { return sign; }
  let leading = firstLeadingBit(fraction);
  return sign | ((leading + 103u) << 23u) | ((fraction << (23u - leading)) & 0x007fffffu);
}

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let code = (words[i / 2u] >> (16u * (i % 2u))) & 0xffffu;
    if (FORMAT == 1u) { y[i] = code << 16u; } else { y[i] = f16_bits(code); }
  }
}

// Formats with scales.
@compute @workgroup_size(WG)
fn dequantise(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) { y[i] = bitcast<u32>(decode(words[word_of(i)], i)); }
}
