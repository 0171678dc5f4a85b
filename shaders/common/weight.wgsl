// Values of a weight stored as 32-bit words: (code - zero) scale + offset, scale and zero shared by a run of BLOCK values.
// Needs bindings scales and zeros (array<u32>), params.b_first, and a
// function table_value: common/weight-table.wgsl, or one that is faster. The numbers are those of src/kernels/formats.ts.
const FORMAT: u32 = 0u; // 0 f32, 1 bf16, 2 f16, 3 int8, 4 fp8 E4M3, 5 fp8 E5M2, 6 int4, 7 nf4, 8 fp4, 9 mxfp4
const SCALES: u32 = 0u; // 0 f32, 1 bf16, 2 f16, 3 E8M0, 4 codes in 8 bits with scales of their own, in zeros
const ZEROS: u32 = 0u;  // 0 none, 1 zero points in 8 bits, 2 offsets in the scales' format
const BLOCK: u32 = 64u;

// One of the two 16-bit values of a word, the one of even index in the low half.
fn half_of(word: u32, index: u32, is_bf16: bool) -> f32 {
  let odd = index % 2u == 1u;
  if (is_bf16) { return bitcast<f32>(select(word << 16u, word & 0xffff0000u, odd)); }
  let pair = unpack2x16float(word);
  return select(pair.x, pair.y, odd);
}

// Both values of a word of a 16-bit weight.
fn decode_pair(word: u32) -> vec2f {
  if (FORMAT == 1u) { return vec2f(bitcast<f32>(word << 16u), bitcast<f32>(word & 0xffff0000u)); }
  return unpack2x16float(word);
}

fn byte_of(word: u32, index: u32) -> u32 { return (word >> (8u * (index % 4u))) & 255u; }

// A scale or an offset out of its word.
fn float_of(word: u32, index: u32) -> f32 {
  if (SCALES == 0u) { return bitcast<f32>(word); }
  return half_of(word, index, SCALES == 1u);
}

fn scale_of(run: u32) -> f32 {
  if (SCALES < 3u) {
    let word = scales[run / select(2u, 1u, SCALES == 0u)];
    return float_of(word, run);
  }
  let word = scales[run / 4u];
  let code = byte_of(word, run);
  if (SCALES == 3u) { return bitcast<f32>(code << 23u); }
  // Double quantisation: an offset of all, the values of the 256 codes, a scale for each 256 blocks.
  let offset = zeros[0];
  let value = zeros[1u + code];
  let scale = zeros[257u + run / 256u];
  return bitcast<f32>(value) * bitcast<f32>(scale) + bitcast<f32>(offset);
}

// The values of four codes of fp8 E4M3, the kind without infinities: subnormals are multiples of 2^-9.
fn e4m3(codes: vec4u) -> vec4f {
  let magnitude = codes & vec4u(127u);
  let normal = bitcast<vec4f>((magnitude << vec4u(20u)) + vec4u(120u << 23u));
  let value = select(normal, vec4f(magnitude) / 512.0, magnitude < vec4u(8u));
  return select(value, -value, codes > vec4u(127u));
}

// fp8 E5M2: the upper half of an f16.
fn e5m2(codes: vec4u) -> vec4f {
  let words = (codes.xz << vec2u(8u)) | (codes.yw << vec2u(24u));
  return vec4f(unpack2x16float(words.x), unpack2x16float(words.y));
}

// E2M1: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and a sign.
fn e2m1(codes: vec4u) -> vec4f {
  let magnitude = codes & vec4u(7u);
  let normal = bitcast<vec4f>((magnitude << vec4u(22u)) + vec4u(126u << 23u));
  let value = select(normal, vec4f(magnitude) * 0.5, magnitude < vec4u(2u));
  return select(value, -value, codes > vec4u(7u));
}

// Values of the four-bit codes of bitsandbytes: NormalFloat, quantiles of the normal distribution (Dettmers et al. 2023,
// arXiv 2305.14314, appendix E), and its floats.
const NF4 = array<f32, 16>(
  -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
  -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
  0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0
);
const FP4 = array<f32, 16>(
  0.0, 0.005208333333, 0.66666667, 1.0, 0.33333333, 0.5, 0.16666667, 0.25,
  0.0, -0.005208333333, -0.66666667, -1.0, -0.33333333, -0.5, -0.16666667, -0.25
);

// The codes of four values out of the word that holds them. The four-bit formats of bitsandbytes have the value of even
// index in the high half of a byte, the others in the low one.
fn codes_of(word: u32, index: u32) -> vec4u {
  if (FORMAT < 6u) { return (vec4u(word) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(255u); }
  let half = vec4u(word >> (4u * (index % 8u)));
  if (FORMAT == 7u || FORMAT == 8u) { return (half >> vec4u(4u, 0u, 12u, 8u)) & vec4u(15u); }
  return (half >> vec4u(0u, 4u, 8u, 12u)) & vec4u(15u);
}

// The values of codes of one run.
fn block_values(codes: vec4u, run: u32) -> vec4f {
  let scale = scale_of(run);
  if (FORMAT == 6u) {
    if (ZEROS == 1u) {
      let word = zeros[run / 4u];
      return (vec4f(codes) - f32(byte_of(word, run))) * scale;
    }
    if (ZEROS == 0u) { return (vec4f(codes) - 8.0) * scale; }
  }
  var values = vec4f(codes);
  if (FORMAT == 3u) { values = vec4f(bitcast<vec4i>(codes << vec4u(24u)) >> vec4u(24u)); }
  if (FORMAT == 4u) { values = e4m3(codes); }
  if (FORMAT == 5u) { values = e5m2(codes); }
  if (FORMAT == 7u || FORMAT == 8u) {
    values = vec4f(table_value(codes.x), table_value(codes.y), table_value(codes.z), table_value(codes.w));
  }
  if (FORMAT == 9u) { values = e2m1(codes); }
  if (ZEROS == 2u) {
    let word = zeros[run / select(2u, 1u, SCALES == 0u)];
    return values * scale + float_of(word, run);
  }
  return values * scale;
}

// Number of the word that holds value `index`.
fn word_of(index: u32) -> u32 {
  if (FORMAT == 0u) { return index; }
  if (FORMAT < 3u) { return index / 2u; }
  return index / select(4u, 8u, FORMAT >= 6u);
}

// Value `index` out of its word.
fn decode(word: u32, index: u32) -> f32 {
  if (FORMAT == 0u) { return bitcast<f32>(word); }
  if (FORMAT < 3u) { return half_of(word, index, FORMAT == 1u); }
  return block_values(codes_of(word, index / 4u * 4u), (params.b_first + index) / BLOCK)[index % 4u];
}
