// weights = softmax(the CHOSEN largest of a token's logits),  experts = which these are
// One invocation per token. Shazeer et al. 2017, arXiv 1701.06538; of equal logits the first expert is taken.
struct Params { tokens: u32, experts: u32, chosen: u32, choices: u32 } // choices: tokens times chosen

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;            // [T, E]
@group(0) @binding(2) var<storage, read_write> weights: array<f32>;     // [T, K]
@group(0) @binding(3) var<storage, read_write> experts_out: array<u32>; // [T, K]
@group(0) @binding(4) var<storage, read> experts: array<u32>;           // the same, read
@group(0) @binding(5) var<storage, read> d_weights: array<f32>;         // [T, K]
@group(0) @binding(6) var<storage, read> weights_in: array<f32>;        // [T, K]
@group(0) @binding(7) var<storage, read_write> d_logits: array<f32>;    // [T, E]
@group(0) @binding(8) var<storage, read_write> sorted: array<u32>;      // [E + choices]

const OF_ALL: bool = false; // weights are shares of the softmax over all experts: they do not add up to 1
const WG: u32 = 64u;        // invocations of a workgroup
const LANES: u32 = 64u;     // of the workgroup that lists an expert's choices

// exp(logit - top) summed over all experts.
fn total_of(at: u32, top: f32) -> f32 {
  var sum = 0.0;
  for (var e = 0u; e < params.experts; e++) { sum += exp(logits[at + e] - top); }
  return sum;
}

@compute @workgroup_size(WG)
fn choose(@builtin(global_invocation_id) id: vec3u) {
  let token = id.x;
  if (token >= params.tokens) { return; }
  let at = token * params.experts;
  let out = token * params.chosen;
  var top = 0.0;
  var sum = 0.0;
  var last = 0u;
  for (var k = 0u; k < params.chosen; k++) {
    // The largest among those behind the last one, in the order of falling logits and then of numbers.
    let bound = logits[at + last];
    var best = min(k, params.experts - 1u); // where no comparison holds: NaN
    var value = -3.4e38;
    for (var e = 0u; e < params.experts; e++) {
      let logit = logits[at + e];
      let is_behind = k == 0u || logit < bound || (logit == bound && e > last);
      if (is_behind && logit > value) {
        best = e;
        value = logit;
      }
    }
    value = logits[at + best];
    if (k == 0u) { top = value; }
    last = best;
    experts_out[out + k] = best;
    weights[out + k] = exp(value - top);
    sum += exp(value - top);
  }
  if (OF_ALL) { sum = total_of(at, top); }
  for (var k = 0u; k < params.chosen; k++) { weights[out + k] = weights[out + k] / sum; }
}

// With s = sum over the chosen of w dw: d logit = w (dw - s) for the chosen, 0 for the others; where weights are shares of
// all, w dw - p s, p being an expert's share.
@compute @workgroup_size(WG)
fn choose_backward(@builtin(global_invocation_id) id: vec3u) {
  let token = id.x;
  if (token >= params.tokens) { return; }
  let at = token * params.experts;
  let own = token * params.chosen;
  var sum = 0.0;
  for (var k = 0u; k < params.chosen; k++) { sum += weights_in[own + k] * d_weights[own + k]; }
  let top = logits[at + experts[own]];
  var total = 1.0;
  if (OF_ALL) { total = total_of(at, top); }
  for (var e = 0u; e < params.experts; e++) {
    var share = 0.0;
    if (OF_ALL) { share = exp(logits[at + e] - top) / total; }
    d_logits[at + e] = -share * sum;
  }
  for (var k = 0u; k < params.chosen; k++) {
    let weight = weights_in[own + k];
    let share = select(weight, 0.0, OF_ALL); // of what all lose together, which is written above where it is not this
    d_logits[at + experts[own + k]] += weight * d_weights[own + k] - share * sum;
  }
}

var<workgroup> equal: array<u32, LANES>;   // choices of this expert in each lane's part
var<workgroup> smaller: array<u32, LANES>; // and of experts before it

// sorted = for each expert where its choices end, then the choices, by their experts and else in their order.
// One workgroup per expert: its lanes count in parts of the list, then write their own behind what comes before.
@compute @workgroup_size(LANES)
fn sort(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let expert = group.x;
  let part = (params.choices + LANES - 1u) / LANES;
  let first = min(lane * part, params.choices);
  let end = min(first + part, params.choices);
  var own = 0u;
  var less = 0u;
  for (var i = first; i < end; i++) {
    let e = experts[i];
    own += select(0u, 1u, e == expert);
    less += select(0u, 1u, e < expert);
  }
  equal[lane] = own;
  smaller[lane] = less;
  workgroupBarrier();
  var at = 0u;
  var total = 0u;
  for (var i = 0u; i < LANES; i++) {
    at += smaller[i] + select(0u, equal[i], i < lane);
    total += smaller[i] + equal[i];
  }
  for (var i = first; i < end; i++) {
    if (experts[i] == expert) {
      sorted[params.experts + at] = i;
      at++;
    }
  }
  if (lane == 0u) { sorted[expert] = total; }
}
