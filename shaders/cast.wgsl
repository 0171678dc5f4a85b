// words[i] = round(x[2i]), round(x[2i + 1]) as bf16 or f16, to nearest, ties to even;  and back: y[i] = decode(words[i / 2])
// Each workgroup goes through a run of words, or of values on the way back. Integer arithmetic throughout, because
// pack2x16float may round as the driver likes and drivers may flush subnormals.
struct Params { count: u32 } // values; where they are odd in number, the upper half of the last word is 0

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;           // bits of f32 values
@group(0) @binding(2) var<storage, read_write> words_out: array<u32>;
@group(0) @binding(3) var<storage, read> words: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<u32>;     // bits of f32 values

const FORMAT: u32 = 1u; // 1 bf16, 2 f16; as in common/pack.wgsl
const WG: u32 = 64u;
// #import "common/elements.wgsl"

fn bf16_code(bits: u32) -> u32 {
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return (bits >> 16u) | 0x0040u; } // a NaN stays one
  return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}

fn f16_code(bits: u32) -> u32 {
  let sign = (bits >> 16u) & 0x8000u;
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return sign | 0x7e00u | ((magnitude >> 13u) & 0x01ffu); }
  if (magnitude >= 0x477ff000u) { return sign | 0x7c00u; } // from 65520: infinity
  if (magnitude >= 0x38800000u) { // from 2^-14: normal, exponent bias 15 instead of 127
    return sign | ((magnitude - 0x38000000u + 0x0fffu + ((magnitude >> 13u) & 1u)) >> 13u);
  }
  if (magnitude < 0x33000000u) { return sign; } // below 2^-25, half of the smallest
  let shift = 126u - (magnitude >> 23u);
  let significand = (magnitude & 0x007fffffu) | 0x00800000u;
  let code = significand >> shift;
  let half = 1u << (shift - 1u);
  let rest = significand & ((1u << shift) - 1u);
  return sign | (code + select(0u, 1u, rest > half || (rest == half && (code & 1u) == 1u)));
}

fn encode(i: u32) -> u32 {
  if (i >= params.count) { return 0u; }
  if (FORMAT == 1u) { return bf16_code(x[i]); }
  return f16_code(x[i]);
}

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
fn to_words(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, (params.count + 1u) / 2u);
  for (var i = own.first; i < own.end; i += WG) {
    words_out[i] = encode(2u * i) | (encode(2u * i + 1u) << 16u);
  }
}

@compute @workgroup_size(WG)
fn to_floats(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let code = (words[i / 2u] >> (16u * (i % 2u))) & 0xffffu;
    if (FORMAT == 1u) { y[i] = code << 16u; } else { y[i] = f16_bits(code); }
  }
}
