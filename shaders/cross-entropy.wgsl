// loss = logsumexp(s) - s[label],  dlogits = (softmax(s) - onehot(label)) * scale * ds/dlogits,  s = CAP tanh(logits / CAP)
// One workgroup per row, rows beyond 65535 fold into grid y; the gradient overwrites the logits. Milakov & Gimelshein
// 2018, arXiv 1805.02867, for the running maximum.
struct Params { rows: u32, cols: u32, scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> logits: array<f32>; // [rows, cols]
@group(0) @binding(2) var<storage, read> labels: array<i32>;       // [rows]; negative: ignored, loss 0 and gradient 0
@group(0) @binding(3) var<storage, read_write> loss: array<u32>;   // [rows], the bits of f32 values
@group(0) @binding(4) var<storage, read> losses: array<f32>;       // [rows]
@group(0) @binding(5) var<storage, read_write> total: array<f32>;  // [1]

const WG: u32 = 256u;
const GRADIENT: bool = true;    // overwrite the logits; else they stay
const SOFTCAP: f32 = 0.0;       // CAP, or 0.0 for s = logits
const ACCUMULATE: bool = false; // add to total instead of overwriting it
const LOWEST: f32 = -1e30;      // not -inf, whose differences are NaN
const NAN: u32 = 0x7fc00000u;   // its bits; WGSL has no such literal
const BROKEN: f32 = 3e38;       // the maximum of a row that holds NaN or infinity
// #import "common/reduce.wgsl"

// Some drivers return NaN for large arguments of tanh, and tanh(15) rounds to 1.
fn cap(x: f32) -> f32 {
  if (SOFTCAP == 0.0) { return x; }
  return SOFTCAP * tanh(clamp(x / SOFTCAP, -15.0, 15.0));
}

// Float comparisons with NaN, and max, differ between drivers: only the bits tell.
fn broken(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7f800000u) == 0x7f800000u;
}

fn score(base: u32, col: u32) -> f32 {
  let logit = logits[base + min(col, params.cols - 1u)];
  return select(LOWEST, select(cap(logit), BROKEN, broken(logit)), col < params.cols);
}

@compute @workgroup_size(WG)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let row = group.y * grid.x + group.x;
  if (row >= params.rows) { return; }
  let base = row * params.cols;
  let label = labels[row];
  if (label < 0) {
    if (lane == 0u) { loss[row] = 0u; }
    if (GRADIENT) {
      for (var i = lane; i < params.cols; i += WG) { logits[base + i] = 0.0; }
    }
    return;
  }
  // Four columns a step, so that the running sum is rescaled once for four.
  var highest = LOWEST;
  var sum = 0.0;
  for (var i = lane; i < params.cols; i += 4u * WG) {
    let s = vec4f(score(base, i), score(base, i + WG), score(base, i + 2u * WG), score(base, i + 3u * WG));
    let now = max(highest, max(max(s.x, s.y), max(s.z, s.w)));
    sum = sum * exp(highest - now) + dot(exp(s - now), vec4f(1.0));
    highest = now;
  }
  let labelled = score(base, u32(label));
  let top = workgroup_max(highest, lane);
  let normalizer = workgroup_sum(sum * exp(highest - top), lane);
  if (lane == 0u) { loss[row] = select(bitcast<u32>(top + log(normalizer) - labelled), NAN, top == BROKEN); }
  if (GRADIENT) {
    for (var i = lane; i < params.cols; i += WG) {
      logits[base + i] = gradient(logits[base + i], i == u32(label), top, normalizer);
    }
  }
}

fn gradient(logit: f32, is_label: bool, top: f32, normalizer: f32) -> f32 {
  if (broken(logit)) { return logit; } // seen again in the gradient's norm, where the update is skipped
  let s = cap(logit);
  let g = (exp(s - top) / normalizer - select(0.0, 1.0, is_label)) * params.scale;
  if (SOFTCAP == 0.0) { return g; }
  let t = s / SOFTCAP;
  return g * (1.0 - t * t);
}

// total = sum of losses.  One workgroup.
@compute @workgroup_size(WG)
fn sum_losses(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  for (var i = lane; i < params.rows; i += WG) { sum += losses[i]; }
  let all = workgroup_sum(sum, lane);
  if (lane == 0u) {
    if (ACCUMULATE) { total[0] += all; } else { total[0] = all; }
  }
}
