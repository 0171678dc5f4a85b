// Values of a weight stored as 32-bit words: (code - zero) scale + offset, scale and zero shared by a run of BLOCK values.
// Needs bindings scales and zeros (array<u32>), params.b_first, and a
// function table_values: common/weight-table.wgsl, or one that is faster. The numbers are those of src/kernels/formats.ts.
const FORMAT: u32 = 0u; // 0 f32, 1 bf16, 2 f16, 3 int8, 4 fp8 E4M3, 5 fp8 E5M2, 6 int4, 7 nf4, 8 fp4, 9 mxfp4
const SCALES: u32 = 0u; // 0 f32, 1 bf16, 2 f16, 3 E8M0, 4 codes in 8 bits with scales of their own, in zeros, 5 of superblocks
const ZEROS: u32 = 0u;  // 0 none, 1 zero points in 8 bits, 2 offsets in the scales' format
const BLOCK: u32 = 64u;
const SUPER_RUNS: u32 = (255u + BLOCK) / BLOCK; // runs of a superblock of 256 values

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

// A superblock is a word of two f16, scales of the runs' scales and of their offsets, and then a byte for each run's scale,
// signed where there are no offsets, and a byte for each one's offset.
fn super_head(run: u32) -> u32 {
  return run / SUPER_RUNS * (1u + SUPER_RUNS / select(4u, 2u, ZEROS == 2u));
}

fn super_scale(run: u32) -> f32 {
  let head = super_head(run);
  let word = scales[head + 1u + run % SUPER_RUNS / 4u];
  let code = byte_of(word, run);
  let number = select(f32(bitcast<i32>(code << 24u) >> 24u), f32(code), ZEROS == 2u);
  return unpack2x16float(scales[head]).x * number;
}

fn super_offset(run: u32) -> f32 {
  let head = super_head(run);
  let word = scales[head + 1u + (SUPER_RUNS + run % SUPER_RUNS) / 4u];
  return -unpack2x16float(scales[head]).y * f32(byte_of(word, run));
}

// The word that holds the scale of a run; not of superblocks.
fn scale_word(run: u32) -> u32 {
  if (SCALES > 2u) { return scales[run / 4u]; }
  return scales[run / select(2u, 1u, SCALES == 0u)];
}

// The scale of a run out of its word.
fn scale_in(word: u32, run: u32) -> f32 {
  if (SCALES == 5u) { return super_scale(run); }
  if (SCALES < 3u) { return float_of(word, run); }
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

// Values of the four-bit codes of bitsandbytes: NormalFloat, quantiles of the normal distribution (Dettmers et al. 2023,
// arXiv 2305.14314, appendix E), and its floats; and E2M1, of mxfp4.
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
const E2M1 = array<f32, 16>(
  0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0
);

// Value of a code of the formats with a table.
fn table_entry(code: u32) -> f32 {
  if (FORMAT == 9u) { return E2M1[code]; }
  if (FORMAT == 8u) { return FP4[code]; }
  return NF4[code];
}

// The codes of four values out of the word that holds them. The four-bit formats of bitsandbytes have the value of even
// index in the high half of a byte, the others in the low one.
fn codes_of(word: u32, index: u32) -> vec4u {
  if (FORMAT < 6u) { return (vec4u(word) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(255u); }
  let half = vec4u(word >> (4u * (index % 8u)));
  if (FORMAT == 7u || FORMAT == 8u) { return (half >> vec4u(4u, 0u, 12u, 8u)) & vec4u(15u); }
  return (half >> vec4u(0u, 4u, 8u, 12u)) & vec4u(15u);
}

fn offset_of(run: u32) -> f32 {
  if (SCALES == 5u) { return super_offset(run); }
  let word = zeros[run / select(2u, 1u, SCALES == 0u)];
  return float_of(word, run);
}

// What the values of a run share: their scale, and the zero point or the offset.
fn run_terms(run: u32) -> vec2f {
  var word: u32;
  if (SCALES < 5u) { word = scale_word(run); }
  return terms_in(word, run);
}

// The same out of the word with the scale.
fn terms_in(word: u32, run: u32) -> vec2f {
  let scale = scale_in(word, run);
  if (ZEROS == 2u) { return vec2f(scale, offset_of(run)); }
  if (FORMAT == 6u && ZEROS == 1u) {
    let points = zeros[run / 4u];
    return vec2f(scale, f32(byte_of(points, run)));
  }
  return vec2f(scale, select(0.0, 8.0, FORMAT == 6u));
}

// The values of four codes before they are scaled.
fn raw_values(codes: vec4u) -> vec4f {
  if (FORMAT == 3u) { return vec4f(bitcast<vec4i>(codes << vec4u(24u)) >> vec4u(24u)); }
  if (FORMAT == 4u) { return e4m3(codes); }
  if (FORMAT == 5u) { return e5m2(codes); }
  if (FORMAT > 6u) { return table_values(codes); }
  return vec4f(codes);
}

// The values of four codes of a run, of which the terms are known.
fn values_of(codes: vec4u, terms: vec2f) -> vec4f {
  let values = raw_values(codes);
  if (ZEROS == 2u) { return values * terms.x + terms.y; }
  if (FORMAT == 6u) { return (values - terms.y) * terms.x; }
  return values * terms.x;
}

// The sum of products with values of a run, of the sum with these before they are scaled; `total` is the sum of the other
// factors.
fn scaled_sum(sum: f32, total: f32, terms: vec2f) -> f32 {
  if (ZEROS == 2u) { return sum * terms.x + total * terms.y; }
  if (FORMAT == 6u) { return (sum - total * terms.y) * terms.x; }
  return sum * terms.x;
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
  return values_of(codes_of(word, index / 4u * 4u), run_terms((params.b_first + index) / BLOCK))[index % 4u];
}
