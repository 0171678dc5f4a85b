// index[row] = an index drawn by softmax(x[row] / temperature) among those that penalty, top-k, top-p and min-p leave; NONE as argmax.
// One workgroup per row; rows beyond 65535 fold into grid y. Nothing is ordered: the rank above which a given mass lies is found
// by histograms of 8 of its bits at a time. Masses are integers, so that their sums are exact and depend on no order.
struct Params {
  rows: u32, cols: u32,
  words: u32             // of a row of `seen`
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;            // [rows, cols], the bits of f32 values
@group(0) @binding(2) var<storage, read_write> index: array<u32>;  // [rows]
@group(0) @binding(3) var<storage, read> choices: array<u32>;      // [rows, 6], see kernels/token-choice.ts
@group(0) @binding(4) var<storage, read_write> seen: array<u32>;   // [rows, words], a bit for each index that the penalty is for

const WG: u32 = 256u;
// #import "common/rank.wgsl"
const BINS: u32 = 256u;
const COUNT: u32 = 0u;              // what find looks for: the value that is so many in all,
const NUCLEUS: u32 = 1u;            // the one that completes a share of the mass,
const DRAW: u32 = 2u;               // the one that a share of the kept mass falls on

var<workgroup> best_rank: array<u32, WG>;
var<workgroup> best_index: array<u32, WG>;
var<workgroup> low: array<atomic<u32>, BINS>;   // masses of 64 bits
var<workgroup> high: array<atomic<u32>, BINS>;
var<workgroup> found: u32;      // bits of a rank, as far as they are known
var<workgroup> above: vec2u;    // mass of larger ranks; low word, high word
var<workgroup> goal: vec2u;
var<workgroup> kept: vec2u;     // mass that may be drawn
var<private> row: u32;
var<private> temperature: f32;
var<private> penalty: f32;
var<private> top: u32;          // the largest rank
var<private> least: u32;        // the smallest that top-k leaves

// Sums and products of 64 bits.
fn sum(a: vec2u, b: vec2u) -> vec2u {
  let word = a.x + b.x;
  return vec2u(word, a.y + b.y + u32(word < a.x));
}
fn difference(a: vec2u, b: vec2u) -> vec2u { return vec2u(a.x - b.x, a.y - b.y - u32(a.x < b.x)); }
fn exceeds(a: vec2u, b: vec2u) -> bool { return a.y > b.y || (a.y == b.y && a.x > b.x); }
fn product(a: u32, b: u32) -> vec2u {
  let middle = (a >> 16u) * (b & 0xffffu);
  let other = (a & 0xffffu) * (b >> 16u);
  let outer = vec2u((a & 0xffffu) * (b & 0xffffu), (a >> 16u) * (b >> 16u));
  return sum(sum(outer, vec2u(middle << 16u, middle >> 16u)), vec2u(other << 16u, other >> 16u));
}
fn times(a: vec2u, b: u32) -> vec2u { return sum(product(a.x, b), vec2u(0u, a.y * b)); }

// mass * fraction / 2^32, rounded up where that is asked for.
fn share(mass: vec2u, fraction: u32, up: bool) -> vec2u {
  let small = product(mass.x, fraction);
  return sum(sum(product(mass.y, fraction), vec2u(small.y, 0u)), vec2u(u32(up && small.x > 0u), 0u));
}

// How often b > 0 is in a: at most as often as there are columns.
fn quotient(a: vec2u, b: vec2u) -> u32 {
  var rest = a;
  var result = 0u;
  for (var bit = 20u; bit > 0u; bit--) {
    let shift = bit - 1u;
    let part = vec2u(b.x << shift, (b.y << shift) | select(b.x >> (32u - shift), 0u, shift == 0u));
    if (!exceeds(part, rest)) {
      rest = difference(rest, part);
      result |= 1u << shift;
    }
  }
  return result;
}

fn rank_at(i: u32) -> u32 {
  let bits = x[row * params.cols + i];
  if (penalty == 1.0 || ((seen[row * params.words + i / 32u] >> (i % 32u)) & 1u) == 0u) { return rank_of(bits); }
  let score = bitcast<f32>(bits);
  return rank_of(bitcast<u32>(select(score * penalty, score / penalty, score > 0.0)));
}

fn score_of(rank: u32) -> f32 { return bitcast<f32>(select(~rank, rank ^ 0x80000000u, rank >= 0x80000000u)); }

// Probability of a rank by that of the largest.
fn weight_of(rank: u32) -> f32 {
  if (rank == top) { return 1.0; }
  if (rank <= MASKED) { return 0.0; }
  return min(exp(max((score_of(rank) - score_of(top)) / temperature, -80.0)), 1.0);
}

// The same in units of 2^-44: what is below e^-30 has no share.
fn mass_of(rank: u32) -> vec2u {
  let scaled = 4096.0 * weight_of(rank);
  let whole = floor(scaled);
  return vec2u(u32((scaled - whole) * 4294967296.0), u32(whole));
}

fn add(bin: u32, mass: vec2u) {
  let before = atomicAdd(&low[bin], mass.x);
  let more = mass.y + u32(before + mass.x < before);
  if (more > 0u) { atomicAdd(&high[bin], more); }
}

fn mass_in(bin: u32) -> vec2u { return vec2u(atomicLoad(&low[bin]), atomicLoad(&high[bin])); }

fn clear_bins(lane: u32) {
  workgroupBarrier();
  for (var bin = lane; bin < BINS; bin += WG) {
    atomicStore(&low[bin], 0u);
    atomicStore(&high[bin], 0u);
  }
  workgroupBarrier();
}

fn set_goal(aim: u32, fraction: u32) {
  var total = vec2u(0u);
  for (var bin = 0u; bin < BINS; bin++) { total = sum(total, mass_in(bin)); }
  if (aim == COUNT) { goal = vec2u(fraction - 1u, 0u); }
  if (aim == NUCLEUS) { goal = difference(share(total, fraction, true), vec2u(1u, 0u)); }
  if (aim == DRAW) { goal = share(select(kept, total, all(kept == vec2u(0u))), fraction, false); }
}

// Finds the rank at which the mass of all from the largest on exceeds the goal, and the mass above it.
fn find(lane: u32, aim: u32, fraction: u32) {
  var mask = 0u; // of the bits that are known
  for (var level = 0u; level < 4u; level++) {
    clear_bins(lane);
    let shift = 24u - 8u * level;
    let known = select(found, 0u, level == 0u);
    for (var i = lane; i < params.cols; i += WG) {
      let rank = rank_at(i);
      if (rank < least || (rank & mask) != known) { continue; }
      let bin = (rank >> shift) & 255u;
      if (aim == COUNT) { add(bin, vec2u(1u, 0u)); } else { add(bin, mass_of(rank)); }
    }
    workgroupBarrier();
    if (lane == 0u) {
      if (level == 0u) {
        above = vec2u(0u);
        set_goal(aim, fraction);
      }
      var bin = 255u;
      while (bin > 0u) {
        let through = sum(above, mass_in(bin));
        if (exceeds(through, goal)) { break; }
        above = through;
        bin--;
      }
      found = known | (bin << shift);
    }
    mask |= 255u << shift;
    workgroupBarrier();
  }
}

// The mass of what top-p and min-p leave. Of several values of one rank, top-p leaves the first ones.
fn keep(lane: u32, top_p: u32, min_p: f32) {
  var cut = 0u;
  if (top_p != 0u) {
    find(lane, NUCLEUS, top_p);
    cut = found;
  }
  clear_bins(lane);
  if (min_p > 0.0) {
    for (var i = lane; i < params.cols; i += WG) {
      let rank = rank_at(i);
      if (rank >= least && rank > cut && weight_of(rank) >= min_p) { add(0u, mass_of(rank)); }
    }
    workgroupBarrier();
  }
  if (lane == 0u) {
    kept = select(above, mass_in(0u), min_p > 0.0);
    if (top_p != 0u && weight_of(cut) >= min_p) {
      let mass = mass_of(cut);
      kept = sum(kept, times(mass, quotient(difference(goal, above), mass) + 1u));
    }
  }
  workgroupBarrier();
}

// Index of the value that has so many of its rank before it.
fn place(lane: u32, rank: u32, before: u32) {
  let span = (params.cols + WG - 1u) / WG;
  let end = min((lane + 1u) * span, params.cols);
  var count = 0u;
  for (var i = lane * span; i < end; i++) { count += u32(rank_at(i) == rank); }
  best_rank[lane] = count;
  workgroupBarrier();
  var left = before;
  for (var other = 0u; other < lane && left != NONE; other++) {
    left = select(NONE, left - best_rank[other], best_rank[other] <= left);
  }
  if (left < count) {
    for (var i = lane * span; i < end; i++) {
      if (rank_at(i) != rank) { continue; }
      if (left == 0u) {
        best_index[0] = i;
        break;
      }
      left--;
    }
  }
  workgroupBarrier();
}

@compute @workgroup_size(WG)
fn choose(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let own_row = group.y * grid.x + group.x;
  if (own_row >= params.rows) { return; }
  row = own_row;
  let at = 6u * own_row;
  temperature = bitcast<f32>(choices[at]);
  let top_k = choices[at + 1u];
  let top_p = choices[at + 2u];
  let min_p = bitcast<f32>(choices[at + 3u]);
  penalty = bitcast<f32>(choices[at + 4u]);
  let uniform_share = choices[at + 5u];
  var rank = 0u;
  for (var i = lane; i < params.cols; i += WG) { rank = max(rank, rank_at(i)); }
  best_rank[lane] = rank;
  for (var stride = WG / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane < stride) { best_rank[lane] = max(best_rank[lane], best_rank[lane + stride]); }
  }
  workgroupBarrier();
  top = best_rank[0];
  var chosen = top;
  var before = 0u;
  if (choices[at] != 0u) {
    if (top_k > 0u && top_k < params.cols) {
      find(lane, COUNT, top_k);
      least = found;
    }
    if (lane == 0u) { kept = vec2u(0u); }
    if (top_p != 0u || choices[at + 3u] != 0u) { keep(lane, top_p, min_p); }
    find(lane, DRAW, uniform_share);
    chosen = found;
    before = quotient(difference(goal, above), mass_of(chosen));
  }
  workgroupBarrier();
  place(lane, chosen, before);
  if (lane == 0u) {
    let chosen_index = best_index[0];
    index[row] = select(chosen_index, NONE, is_broken(top));
    if (params.words > 0u) { seen[row * params.words + chosen_index / 32u] |= 1u << (chosen_index % 32u); }
  }
}
