// codes[i] = nearest code of x[i] / scale, scale[b] from the largest |x| of block b: a weight of f32, bf16 or f16 in fewer bits
// An invocation takes four neighbouring blocks, so that whatever it writes it writes in whole words.
struct Params {
  count: u32,      // values here; the others of the weight are computed by other dispatches
  first_block: u32 // of these values, a multiple of four
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> words: array<u32>;  // codes of these values
@group(0) @binding(3) var<storage, read_write> scales: array<u32>; // of the whole weight: f32, or E8M0 for mxfp4
@group(0) @binding(4) var<storage, read_write> zeros: array<u32>;  // of the whole weight, where there are zero points

const FORMAT: u32 = 3u; // of common/weight.wgsl
const SOURCE: u32 = 0u; // format of x: 0 f32, 1 bf16, 2 f16
const ZEROS: u32 = 0u;  // 1: zero points in 8 bits
const BLOCK: u32 = 64u;
const WG: u32 = 64u;
// The largest value of an int4 block lies halfway between two codes: which of them must not depend on a device's division.
const OUTWARD: f32 = 1.00000095367431640625; // 1 + 2⁻²⁰

fn value(i: u32) -> f32 {
  if (SOURCE == 0u) {
    let word = x[i];
    return bitcast<f32>(word);
  }
  let word = x[i / 2u];
  let odd = i % 2u == 1u;
  if (SOURCE == 1u) { return bitcast<f32>(select(word << 16u, word & 0xffff0000u, odd)); }
  let pair = unpack2x16float(word);
  return select(pair.x, pair.y, odd);
}

// Smallest and largest value of a block that begins at value `start`.
fn range(start: u32) -> vec2f {
  let end = min(start + BLOCK, params.count);
  var least = value(start);
  var most = least;
  for (var i = start + 1u; i < end; i++) {
    let v = value(i);
    least = min(least, v);
    most = max(most, v);
  }
  return vec2f(least, most);
}

// Number of the bounds that v exceeds. They are halfway between the values (dQuantizeNF4 of bitsandbytes).
fn nf4_code(v: f32) -> u32 {
  let low = vec4f(-0.8480964004993439, -0.6106329262256622, -0.4599952697753906, -0.33967943489551544);
  let below = vec4f(-0.23460740596055984, -0.13791173323988914, -0.045525018125772476, 0.03979014977812767);
  let above = vec4f(0.1202552504837513, 0.2035212516784668, 0.2920137718319893, 0.3893125355243683);
  let high = vec3f(0.5016634166240692, 0.6427869200706482, 0.8614784181118011);
  let passed = select(vec4u(), vec4u(1u), vec4f(v) > low) + select(vec4u(), vec4u(1u), vec4f(v) > below)
    + select(vec4u(), vec4u(1u), vec4f(v) > above) + vec4u(select(vec3u(), vec3u(1u), vec3f(v) > high), 0u);
  return passed.x + passed.y + passed.z + passed.w;
}

// dQuantizeFP4 of bitsandbytes, whose codes do not ascend.
fn fp4_code(v: f32) -> u32 {
  let sign = select(0u, 8u, v < 0.0);
  let size = abs(v);
  if (size > 0.29166667) {
    if (size > 0.583333) { return sign + select(2u, 3u, size > 0.8333333); }
    return sign + select(4u, 5u, size > 0.4166667);
  }
  if (size > 0.0859375) { return sign + select(6u, 7u, size > 0.20833333); }
  return sign + select(0u, 1u, size > 0.00260417);
}

// Nearest value of E2M1, ties to the code that is even; beyond 6 it is 6.
fn e2m1_code(v: f32) -> u32 {
  let size = abs(v);
  let sign = select(0u, 8u, v < 0.0);
  var code = select(0u, 1u, size > 0.25) + select(0u, 1u, size >= 0.75) + select(0u, 1u, size > 1.25);
  code += select(0u, 1u, size >= 1.75) + select(0u, 1u, size > 2.5) + select(0u, 1u, size >= 3.5) + select(0u, 1u, size > 5.0);
  return sign + code;
}

// Nearest value of an eight-bit float, ties to even: `drop` bits of an f32's fraction go, exponents begin at `bias`.
fn float8_code(v: f32, drop: u32, bias: u32, unit: f32) -> u32 {
  let sign = select(0u, 128u, v < 0.0);
  let size = abs(v);
  let fraction = 23u - drop;
  let normal_from = bitcast<f32>((bias + 1u) << 23u);
  if (size < normal_from) { return sign + u32(round(size * unit)); }
  let bits = bitcast<u32>(size);
  let rounded = bits + (1u << (drop - 1u)) - 1u + ((bits >> drop) & 1u);
  return sign + (rounded >> drop) - (bias << fraction);
}

fn code_of(v: f32, zero: f32) -> u32 {
  if (FORMAT == 3u) { return u32(i32(clamp(round(v), -127.0, 127.0))) & 255u; }
  if (FORMAT == 4u) { return float8_code(clamp(v, -448.0, 448.0), 20u, 120u, 512.0); }
  if (FORMAT == 5u) { return float8_code(clamp(v, -57344.0, 57344.0), 21u, 112u, 65536.0); }
  if (FORMAT == 6u) { return u32(clamp(round(v) + zero, 0.0, 15.0)); }
  if (FORMAT == 7u) { return nf4_code(v); }
  if (FORMAT == 8u) { return fp4_code(v); }
  return e2m1_code(v);
}

// Scale of a block: what its codes are multiplied by.
fn scale_of(range: vec2f) -> f32 {
  let largest = max(abs(range.x), abs(range.y));
  if (FORMAT == 3u) { return largest / 127.0; }
  if (FORMAT == 4u) { return largest / 448.0; }
  if (FORMAT == 5u) { return largest / 57344.0; }
  if (FORMAT == 6u && ZEROS == 1u) { return (max(range.y, 0.0) - min(range.x, 0.0)) / 15.0; }
  if (FORMAT == 6u) { return largest / 7.5; }
  // The power of two under which the largest value is less than 8 (OCP Microscaling Formats 1.0, 6.3).
  if (FORMAT == 9u) { return bitcast<f32>((max(bitcast<u32>(largest) >> 23u, 3u) - 2u) << 23u); }
  return largest;
}

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let group = id.y * grid.x * WG + id.x;
  let start = group * 4u * BLOCK;
  if (start >= params.count) { return; }
  let end = min(start + 4u * BLOCK, params.count);
  let at = params.first_block + 4u * group;
  var inverse = vec4f();
  var zero = vec4f(8.0);
  var exponents = 0u;
  var points = 0u;
  for (var i = 0u; i < 4u; i++) {
    if (start + i * BLOCK >= end) { break; }
    let bounds = range(start + i * BLOCK);
    let scale = scale_of(bounds);
    inverse[i] = select(0.0, select(1.0, OUTWARD, FORMAT == 6u && ZEROS == 0u) / scale, scale > 0.0);
    if (FORMAT == 9u) { exponents |= (bitcast<u32>(scale) >> 23u) << (8u * i); } else { scales[at + i] = bitcast<u32>(scale); }
    if (ZEROS == 1u) {
      zero[i] = clamp(round(-min(bounds.x, 0.0) * inverse[i]), 0.0, 15.0);
      points |= u32(zero[i]) << (8u * i);
    }
  }
  if (FORMAT == 9u) { scales[at / 4u] = exponents; }
  if (ZEROS == 1u) { zeros[at / 4u] = points; }
  let bits = select(8u, 4u, FORMAT >= 6u);
  let per_word = 32u / bits;
  for (var first = start; first < end; first += per_word) {
    var word = 0u;
    for (var j = 0u; j < per_word; j++) {
      let i = first + j;
      if (i >= end) { break; }
      let own = (i - start) / BLOCK;
      var place = j;
      if (FORMAT == 7u || FORMAT == 8u) { place = j ^ 1u; }
      word |= code_of(value(i) * inverse[own], zero[own]) << (bits * place);
    }
    words[first / per_word] = word;
  }
}
