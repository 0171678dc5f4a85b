// Texels of panels of W [rows, k] in few bits, for matvec-codes.wgsl. One invocation per texel.
// A panel has SG rows: see common/panel-texels.wgsl. A row's first texels hold its codes, 128 bits of them, the
// others what its runs share: four scales, or two scales with an offset each. Rows beyond the last are 0. The table is the last of all.
struct Params {
  rows: u32, k: u32,
  texels: u32,
  first: u32, step: u32, // panels
  table: u32,            // texels before it
  b_first: u32           // values of the weight before those of w
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> w: array<u32>;
@group(0) @binding(2) var panels: texture_storage_2d<rgba32uint, write>;
@group(0) @binding(3) var<storage, read> scales: array<u32>;
@group(0) @binding(4) var<storage, read> zeros: array<u32>;

const WG: u32 = 8u;
const SG: u32 = 8u;
const CODES: u32 = 4u;       // of matvec-codes.wgsl
const UNIT: u32 = 64u;       // values of a run there: of BLOCK as much as divides a row
const OFFSETS: bool = false;
const CENTER: f32 = 8.0;     // in codes of 8 bits: of whole numbers there
const STEP: u32 = select(select(128u / CODES, 32u, CODES == 5u), 16u, CODES == 6u);
const PER: u32 = select(4u, 2u, OFFSETS);
const GROUP: u32 = 8u;       // panels side by side
const FP4_LARGEST: f32 = 12.0;
// #import "common/weight.wgsl"
// #import "common/weight-table.wgsl"
// #import "common/panel-texels.wgsl"
// #import "common/panel-floats.wgsl"

// What codes there are larger by: small floats are multiples of 1/16, and so much larger again as x is.
const FLOAT_UNITS: f32 = select(FP4_LARGEST, 4.0, FORMAT == 9u);
const UNITS: f32 = select(1.0, FLOAT_UNITS * FLOAT_FACTOR, CODES == 6u);

@compute @workgroup_size(WG)
fn fill(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let codes = params.k / STEP;
  let length = codes + (params.k / UNIT + PER - 1u) / PER;
  let panel_size = SG * length;
  for (var i = group.x * WG + lane; i < params.texels + SG; i += groups.x * WG) {
    if (i >= params.texels) {
      let code = i - params.texels;
      store(params.table + code, vec4u(entry(code), entry(code + 8u), 0u, 0u));
      continue;
    }
    let row = i / panel_size * SG + i % SG;
    let at = i % panel_size / SG;
    var texel = vec4u();
    if (row < params.rows) {
      if (at < codes) { texel = codes_at(row * params.k + at * STEP); } else { texel = terms_at(row, (at - codes) * PER); }
    }
    store(texel_index(i / panel_size * params.step + params.first, length, at, i % SG), texel);
  }
}

fn store(to: u32, texel: vec4u) { textureStore(panels, vec2u(to % WIDTH, to / WIDTH), texel); }

fn entry(code: u32) -> u32 { return bitcast<u32>(table_entry(code % 16u)); }

fn codes_at(value: u32) -> vec4u {
  var texel: vec4u;
  for (var q = 0u; q < 4u; q++) {
    let at = value + q * (STEP / 4u);
    if (CODES == 16u) { texel[q] = pair_at(at); }
    else if (CODES == 6u) { texel[q] = floats(raw_values(codes_of(w[word_of(at)], at))); }
    else if (CODES == 8u) { texel[q] = pack4xU8(numbers(codes_of(w[word_of(at)], at))); }
    else { texel[q] = ascending(w[at / 8u]); }
  }
  return texel;
}

// The value of even index in the low half of each byte.
fn ascending(word: u32) -> u32 {
  if (FORMAT == 6u) { return word; }
  return ((word & 0x0f0f0f0fu) << 4u) | ((word >> 4u) & 0x0f0f0f0fu);
}

// Whole numbers that are not negative, of which CENTER is taken.
fn numbers(codes: vec4u) -> vec4u {
  if (FORMAT == 3u) { return codes ^ vec4u(128u); }
  return codes;
}

// Four values in the bits of common/panel-floats.wgsl.
fn floats(values: vec4f) -> u32 {
  let exact = round(values * (16.0 * FLOAT_UNITS)) / 16.0;
  let bits = (bitcast<vec4u>(exact) - vec4u(FLOAT_DOWN << 23u)) & vec4u(FLOAT_BITS);
  let all = select(bits, vec4u(), exact == vec4f()) >> FLOAT_SHIFTS;
  return all.x | all.y | all.z | all.w;
}

// Two values in bf16, which has all of fp8.
fn pair_at(value: u32) -> u32 {
  let first = value / 4u * 4u;
  let values = raw_values(codes_of(w[word_of(first)], first));
  let pair = bitcast<vec2u>(select(values.xy, values.zw, value % 4u == 2u));
  return (pair.x >> 16u) | (pair.y & 0xffff0000u);
}

fn terms_at(row: u32, run: u32) -> vec4u {
  var all: vec4f;
  for (var j = 0u; j < PER; j++) {
    let value = (run + j) * UNIT;
    if (value >= params.k) { break; }
    let terms = run_terms((params.b_first + row * params.k + value) / BLOCK);
    if (OFFSETS) {
      all[2u * j] = terms.x;
      all[2u * j + 1u] = select(-terms.x * terms.y, terms.y - CENTER * terms.x, ZEROS == 2u);
    } else {
      all[j] = terms.x / UNITS;
    }
  }
  return bitcast<vec4u>(all);
}
