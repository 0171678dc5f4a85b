enable subgroups;
// o = softmax(scale q k^T + mask) v for one query a sequence: attention-decode.wgsl in a subgroup
// One subgroup per GROUP heads of the same keys: a lane scores one of SG keys, then all go through these keys' rows of v,
// VECTORS vectors a lane. Shuffles replace workgroup memory and barriers, which CPU rasterisers pay for most. T is 1.
// #import "common/attention.wgsl"
// #import "common/attention-totals.wgsl"
@group(0) @binding(5) var<storage, read_write> o: array<f32>; // [B, 1, H, D]
@group(0) @binding(6) var<storage, read> sinks: array<f32>;   // [H], where there are any

const SG: u32 = 8u;
const GROUP: u32 = 1u;                    // heads, which share their keys
const VECTORS: u32 = (DV + SG - 1u) / SG; // of each head's q and o, and of v, that a lane holds, SG apart

var<private> own: array<array<vec4f, VECTORS>, GROUP>; // of q
var<private> scores: array<vec4f, GROUP>;              // of this lane's key, in four parts
var<private> weights: array<f32, GROUP>;
var<private> most: array<f32, GROUP>;
var<private> total: array<f32, GROUP>;                 // of the weights of this lane's keys
var<private> sums: array<array<vec4f, VECTORS>, GROUP>;

// The scores of one key, with all of q out of the lanes that hold it.
fn score(k_row: u32) {
  for (var h = 0u; h < GROUP; h++) { scores[h] = vec4f(); }
  for (var i = 0u; i < VECTORS; i++) {
    for (var column = 0u; column < SG; column++) {
      var at = vec4f();
      if (i * SG + column < DV) { at = load_k(k_row, i * SG + column); }
      for (var h = 0u; h < GROUP; h++) { scores[h] += subgroupShuffle(own[h][i], column) * at; }
    }
  }
}

fn max_of_all(x: f32) -> f32 {
  var most = x;
  for (var mask = SG / 2u; mask > 0u; mask /= 2u) { most = max(most, subgroupShuffleXor(most, mask)); }
  return most;
}

// Weights of this lane's key, relative to the highest score so far.
fn weigh(h: u32, is_seen: bool) {
  let s = capped(vec4f(dot(scores[h], vec4f(1.0)))).x;
  let top = max(most[h], max_of_all(select(HIDDEN, s, is_seen)));
  let shrink = exp(most[h] - top);
  most[h] = top;
  weights[h] = select(0.0, exp(s - top), is_seen);
  total[h] = total[h] * shrink + weights[h];
  for (var i = 0u; i < VECTORS; i++) { sums[h][i] *= shrink; }
}

@compute @workgroup_size(SG)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let head = group.x * GROUP;
  let batch = group.y;
  let kv_head = head / (params.heads / params.kv_heads);
  let span = keys_of(batch, row_of(batch), 0u);
  let row = query_row(batch, 0u, head);
  for (var h = 0u; h < GROUP; h++) {
    most[h] = LEAST;
    for (var i = 0u; i < VECTORS; i++) { own[h][i] = load_q(row + h, min(i * SG + lane, DV - 1u)); }
  }
  for (var key = span.x; key < span.y; key += SG) {
    score(key_row(batch, min(key + lane, span.y - 1u), kv_head));
    for (var h = 0u; h < GROUP; h++) { weigh(h, key + lane < span.y); }
    let end = min(key + SG, span.y); // a limit that compilers cannot see: copies of the loop are no faster
    for (var j = key; j < end; j++) {
      let v_row = key_row(batch, j, kv_head);
      for (var i = 0u; i < VECTORS; i++) {
        let value = load_v(v_row, min(i * SG + lane, DV - 1u));
        for (var h = 0u; h < GROUP; h++) { sums[h][i] += subgroupShuffle(weights[h], j - key) * value; }
      }
    }
  }
  for (var h = 0u; h < GROUP; h++) { finish(h, head + h, row + h, lane); }
}

fn finish(h: u32, head: u32, row: u32, lane: u32) {
  var l = total[h];
  for (var mask = SG / 2u; mask > 0u; mask /= 2u) { l += subgroupShuffleXor(l, mask); }
  let scale = totals(vec4f(most[h]), vec4f(l), head).factors.x;
  for (var i = 0u; i < VECTORS; i++) {
    let column = 4u * (i * SG + lane);
    for (var c = 0u; c < 4u; c++) {
      if (column + c < HEAD_DIM) { o[row * HEAD_DIM + column + c] = scale * sums[h][i][c]; }
    }
  }
}
