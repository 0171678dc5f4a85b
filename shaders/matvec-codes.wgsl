enable subgroups;
// y[n] = beta y[n] + alpha sum_k x[k] W[n, k] + sum_j h[j] e[n, j]     for a single row of x, W of few bits in panels
// As matvec-panels.wgsl, but a row's texels are codes, and behind them what runs of them share: a scale, and an offset where they have
// one. A run's products are scaled when they are summed. See code-panels.wgsl for what a texel holds.
struct Params {
  k: u32, ldh: u32, panels: u32, alpha: f32, beta: f32,
  first2: u32, first3: u32,                    // panels of the second weight and the third
  n: u32, n2: u32, n3: u32,                    // rows of each weight
  ldc: u32, c_offset: u32, c2: u32, c3: u32,   // where their columns of y lie
  k_extra: u32, extra2: u32, extra3: u32,      // columns of e
  h_offset: u32, h2: u32, h3: u32, e_offset: u32
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;        // [k]
@group(0) @binding(2) var panels: texture_storage_2d<rgba32uint, read>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read> h: array<f32>;          // [ldh]
@group(0) @binding(5) var<storage, read> e: array<f32>;          // [n, k_extra]
@group(0) @binding(6) var<storage, read> e2: array<f32>;         // [n2, extra2]
@group(0) @binding(7) var<storage, read> e3: array<f32>;         // [n3, extra3]

alias elem = f32;
const SG: u32 = 8u;          // lanes of a subgroup
const ROWS: u32 = 1u;        // of x: no more
const COLUMNS: u32 = 4u;     // of a lane
const GROUP: u32 = 8u;       // panels side by side
const CODES: u32 = 4u;       // 16: bf16, 8: whole numbers, 6: small floats, 5: four bits that a table has values of, 4: whole numbers
const RUN: u32 = 2u;         // texels of codes that share a scale
const OFFSETS: bool = false; // runs have offsets
const CENTER: f32 = 8.0;     // of whole numbers without offsets: taken from each
const GATED: bool = false;   // panels of two weights by turns: y = act(the first's) * the second's, COLUMNS being even
const ACTIVATION: u32 = 0u;
const STEP: u32 = select(select(128u / CODES, 32u, CODES == 5u), 16u, CODES == 6u); // codes of a texel
const VECTORS: u32 = STEP / 4u;
const PER: u32 = select(4u, 2u, OFFSETS);                 // runs of a texel of scales
const HAS_TOTALS: bool = OFFSETS || CENTER != 0.0;
// #import "common/activation.wgsl"
// #import "common/panel-texels.wgsl"
// #import "common/panel-floats.wgsl"
// #import "common/panel-columns.wgsl"

var<private> held: array<vec4f, VECTORS>;       // of x: as much as a texel has codes, of the next SG texels one in each lane
var<private> held_total: f32;                   // its sum
var<private> total: f32;                        // of x along a run
var<private> codes: array<vec4u, COLUMNS>;
var<private> terms: array<vec4u, COLUMNS>;
var<private> parts: array<f32, COLUMNS>;        // sums along a run
var<private> table: vec2f;                      // values of codes lane and lane + 8

@compute @workgroup_size(SG)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32
) {
  let first = (group.z * groups.x + group.x) * COLUMNS; // panel
  let count = params.k / STEP;
  let length = count + (count / RUN + PER - 1u) / PER;
  let own = texel_index(first, length, 0u, lane);
  let group_size = length * GROUP * SG;
  if (CODES == 5u) {
    let groups = (params.panels + GROUP - 1u) / GROUP;
    table = bitcast<vec2f>(texel(groups * group_size + lane).xy);
  }
  for (var p = 0u; p < count; p += SG) {
    hold_x(p, lane, count);
    let end = min(p + SG, count); // a limit that compilers cannot see: copies of the loop are no faster
    for (var i = p; i < end; i++) {
      if (i % (RUN * PER) == 0u) {
        for (var c = 0u; c < COLUMNS; c++) { terms[c] = texel_of(own, group_size, c, count + i / (RUN * PER)); }
      }
      for (var c = 0u; c < COLUMNS; c++) { codes[c] = texel_of(own, group_size, c, i); }
      // One word of all columns after the other: loops that compilers unroll are short.
      add_words(0u, i - p);
      add_words(1u, i - p);
      add_words(2u, i - p);
      add_words(3u, i - p);
      if (HAS_TOTALS) { total += subgroupShuffle(held_total, i - p); }
      if ((i + 1u) % RUN == 0u) { finish_run(i / RUN % PER); }
    }
  }
  if (GATED) {
    for (var c = 0u; c < COLUMNS; c += 2u) { finish_gated(c, (first + c) / 2u * SG + lane); }
  } else {
    for (var c = 0u; c < COLUMNS; c++) { finish(c, first + c, lane); }
  }
}

// Texel i of column c, beyond the first one of the first column.
fn texel_of(own: u32, group_size: u32, c: u32, i: u32) -> vec4u {
  return texel(own + c / GROUP * group_size + (i * GROUP + c % GROUP) * SG);
}

// Whole numbers are cut out of their words, and not moved to the lowest bits: x is divided by what that multiplies them with.
// Small floats are so much too small as their exponents lack bits: x is multiplied, so that products are no smaller than it.
fn hold_x(p: u32, lane: u32, count: u32) {
  var unit = vec4f(1.0);
  if (CODES == 8u) { unit = vec4f(1.0, 1.0 / 256.0, 1.0 / 65536.0, 1.0); }
  if (CODES == 6u) { unit = vec4f(bitcast<f32>((127u + FLOAT_UP) << 23u)); }
  if (CODES == 4u) { unit = vec4f(1.0, 1.0 / 16.0, 1.0 / 256.0, 1.0 / 4096.0); }
  let at = VECTORS * min(p + lane, count - 1u);
  held_total = 0.0;
  for (var v = 0u; v < VECTORS; v++) {
    let own = x[at + v];
    if (HAS_TOTALS) { held_total += dot(own, vec4f(1.0)); }
    held[v] = own * unit;
  }
}

// The products of the codes in word q of each column's texel with what lane `holder` holds of x.
fn add_words(q: u32, holder: u32) {
  if (CODES == 16u) {
    let all = subgroupShuffle(held[q / 2u], holder);
    let a = select(all.xy, all.zw, q % 2u == 1u);
    for (var c = 0u; c < COLUMNS; c++) {
      let word = codes[c][q];
      parts[c] += dot(a, vec2f(bitcast<f32>(word << 16u), bitcast<f32>(word & 0xffff0000u)));
    }
  } else if (CODES == 6u) {
    let a = subgroupShuffle(held[q % VECTORS], holder);
    for (var c = 0u; c < COLUMNS; c++) {
      parts[c] += dot(a, bitcast<vec4f>((vec4u(codes[c][q]) << FLOAT_SHIFTS) & vec4u(FLOAT_BITS)));
    }
  } else if (CODES == 8u) {
    let a = subgroupShuffle(held[q % VECTORS], holder);
    for (var c = 0u; c < COLUMNS; c++) {
      let word = codes[c][q];
      let bytes = vec4u(word & 255u, word & 0xff00u, word & 0xff0000u, word >> 24u);
      parts[c] += dot(a, vec4f(bitcast<vec4i>(bytes))); // a conversion from signed numbers is a single instruction
    }
  } else {
    let a = subgroupShuffle(held[2u * q % VECTORS], holder);
    let b = subgroupShuffle(held[(2u * q + 1u) % VECTORS], holder);
    for (var c = 0u; c < COLUMNS; c++) {
      let word = codes[c][q];
      parts[c] += dot(a, four_values(word)) + dot(b, four_values(word >> 16u));
    }
  }
}

// Of the four lower codes of a word.
fn four_values(word: u32) -> vec4f {
  if (CODES == 4u) { return vec4f(bitcast<vec4i>(vec4u(word) & vec4u(15u, 240u, 3840u, 61440u))); }
  // Lanes hold the table and fetch from each other.
  let all = vec4u(word) >> vec4u(0u, 4u, 8u, 12u);
  let i = all & vec4u(7u);
  let low = vec4f(
    subgroupShuffle(table.x, i.x), subgroupShuffle(table.x, i.y),
    subgroupShuffle(table.x, i.z), subgroupShuffle(table.x, i.w)
  );
  let high = vec4f(
    subgroupShuffle(table.y, i.x), subgroupShuffle(table.y, i.y),
    subgroupShuffle(table.y, i.z), subgroupShuffle(table.y, i.w)
  );
  return select(low, high, bitcast<vec4i>(all << vec4u(28u)) < vec4i());
}

// Adds the run's sums, scaled: in one assignment, since each is masked, and by few choices where a texel has two runs.
fn finish_run(run: u32) {
  for (var c = 0u; c < COLUMNS; c++) {
    if (OFFSETS) {
      let own = bitcast<vec2f>(select(terms[c].xy, terms[c].zw, run == 1u));
      sums[c][0] += parts[c] * own.x + total * own.y;
    } else {
      let scale = bitcast<f32>(terms[c][run]);
      sums[c][0] += select(parts[c], parts[c] - CENTER * total, HAS_TOTALS) * scale;
    }
    parts[c] = 0.0;
  }
  total = 0.0;
}
