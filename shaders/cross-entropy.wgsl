// loss = lse - s[label],  dlogits = (softmax(s) - onehot(label)) * scale * ds/dlogits,  lse = logsumexp(s),  s = CAP tanh(logits / CAP)
// WEIGHTED: the gradient of each row also times its weight.
// With SMOOTHING e: s[label] and onehot are (1 - e) times themselves and e times the mean, 1 / classes. With Z: plus Z lse^2.
// LANES invocations per row, as in rms-norm.wgsl; the gradient overwrites the logits. Milakov & Gimelshein 2018,
// arXiv 1805.02867, for the running maximum.
struct Params { rows: u32, cols: u32, scale: f32, classes: f32 } // cols in units of elem; classes without padding

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> logits: array<elem>; // [rows, cols]
@group(0) @binding(2) var<storage, read> labels: array<i32>;       // [rows]; negative: ignored, loss 0 and gradient 0
@group(0) @binding(3) var<storage, read_write> loss: array<u32>;   // [rows], the bits of f32 values
@group(0) @binding(4) var<storage, read> losses: array<f32>;       // [rows]
@group(0) @binding(5) var<storage, read_write> total: array<f32>;  // [1]
@group(0) @binding(6) var<storage, read> weights: array<f32>;      // [rows]

alias elem = vec4f;             // f32, with words u32, where cols is not a multiple of four
alias words = vec4u;
const WIDTH: u32 = 4u;          // of elem
const COLUMNS: words = vec4u(0u, 1u, 2u, 3u); // of an elem, 0u where it has one
const WG: u32 = 256u;
const LANES: u32 = 256u;        // WG, or 1
const GRADIENT: bool = true;    // overwrite the logits; else they stay
const WEIGHTED: bool = false;   // each row's gradient by its weight
const SOFTCAP: f32 = 0.0;       // CAP, or 0.0 for s = logits
const SMOOTHING: f32 = 0.0;     // share of the label that all classes get
const Z: f32 = 0.0;             // factor of lse^2
const NOTHING: f32 = -1e29;     // scores below are padding
const ACCUMULATE: bool = false; // add to total instead of overwriting it
const LOWEST: f32 = -1e30;      // not -inf, whose differences are NaN
const NAN: u32 = 0x7fc00000u;   // its bits; WGSL has no such literal
const BROKEN: f32 = 3e38;       // the maximum of a row that holds NaN or infinity
// #import "common/reduce.wgsl"

// Some drivers return NaN for large arguments of tanh, and tanh(15) rounds to 1.
fn cap(x: elem) -> elem {
  if (SOFTCAP == 0.0) { return x; }
  return SOFTCAP * tanh(clamp(x / SOFTCAP, elem(-15.0), elem(15.0)));
}

// Float comparisons with NaN, and max, differ between drivers: only the bits tell. A broken score is BROKEN.
fn marked(value: elem, logit: elem, mark: elem) -> elem {
  return select(value, mark, (bitcast<words>(logit) & words(0x7f800000u)) == words(0x7f800000u));
}

fn score(i: u32) -> elem {
  return marked(cap(logits[i]), logits[i], elem(BROKEN));
}

fn largest(x: elem) -> f32 {
  let v = vec4f(x);
  return max(max(v.x, v.y), max(v.z, v.w));
}

fn sum_of(x: elem) -> f32 {
  if (WIDTH == 1u) { return vec4f(x).x; }
  return dot(vec4f(x), vec4f(1.0));
}

fn row_max(value: f32, lane: u32) -> f32 {
  if (LANES == 1u) { return value; }
  return workgroup_max(value, lane);
}

fn row_sum(value: f32, lane: u32) -> f32 {
  if (LANES == 1u) { return value; }
  return workgroup_sum(value, lane);
}

@compute @workgroup_size(WG)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let index = group.y * grid.x + group.x;
  let row = select(index, index * WG + lane, LANES == 1u);
  let safe = min(row, params.rows - 1u);
  let base = safe * params.cols;
  let label = labels[safe];
  let first = base + lane % LANES;
  let end = select(base + params.cols, base, label < 0);
  // The running sum is rescaled once for the columns of an elem.
  var highest = LOWEST;
  var sum = 0.0;
  var scores = 0.0;
  for (var i = first; i < end; i += LANES) {
    let s = score(i);
    if (SMOOTHING != 0.0) { scores += sum_of(select(s, elem(), s <= elem(NOTHING))); }
    let now = max(highest, largest(s));
    sum = sum * exp(highest - now) + sum_of(exp(s - now));
    highest = now;
  }
  let at = base + u32(max(label, 0)) / WIDTH;
  let component = u32(max(label, 0)) % WIDTH;
  var labelled = vec4f(score(at))[component];
  let top = row_max(highest, lane);
  let normalizer = row_sum(sum * exp(highest - top), lane);
  if (SMOOTHING != 0.0) { labelled += SMOOTHING * (row_sum(scores, lane) / params.classes - labelled); }
  if (row >= params.rows) { return; }
  let lse = top + log(normalizer);
  if (first == base) {
    let value = select(bitcast<u32>(lse - labelled + Z * lse * lse), NAN, top == BROKEN);
    loss[row] = select(value, 0u, label < 0);
  }
  if (!GRADIENT) { return; }
  if (label < 0) {
    for (var i = first; i < base + params.cols; i += LANES) { logits[i] = elem(); }
    return;
  }
  var scale = params.scale;
  if (WEIGHTED) { scale *= weights[row]; }
  let factor = scale * (1.0 + 2.0 * Z * lse) / normalizer;
  for (var i = first; i < end; i += LANES) {
    let logit = logits[i];
    let s = cap(logit);
    var g = factor * exp(s - top);
    if (i == at) { g -= onehot(component, scale); }
    if (SMOOTHING != 0.0) { g -= select(elem(scale * SMOOTHING / params.classes), elem(), s <= elem(NOTHING)); }
    logits[i] = marked(g * slope(s), logit, logit); // seen again in the gradient's norm, where the update is skipped
  }
}

fn onehot(component: u32, scale: f32) -> elem {
  return scale * (1.0 - SMOOTHING) * select(elem(), elem(1.0), words(component) == words(COLUMNS));
}

fn slope(s: elem) -> elem {
  if (SOFTCAP == 0.0) { return elem(1.0); }
  let t = s / SOFTCAP;
  return 1.0 - t * t;
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
