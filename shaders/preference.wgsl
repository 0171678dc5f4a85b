// pairs: loss = WEIGHT L(c, r) + NLL nll,  judged: loss = w (1 - sigmoid(+-beta (c - kl))), of c = chosen - reference and r = rejected - reference
// One invocation per pair, or per answer that was judged; each writes its loss, its gradient and its row of what is measured. The
// formulas with their sources: docs/preferences.md.
struct Params {
  count: u32,      // pairs or answers
  beta: f32,
  smoothing: f32,  // share of labels that are wrong
  shift: f32,      // taken from the argument of the sigmoid: SimPO's gamma
  tau: f32,        // DiscoPOP's temperature
  center: f32,     // factor of (chosen + rejected)^2
  weight: f32,     // of this loss among several
  nll: f32,        // factor of the mean -log p of the chosen answers' tokens, behind the other scores; 0: none
  desirable: f32,  // weights of judged answers
  undesirable: f32,
  alpha: f32       // of the alpha-divergence, less 1
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> policy: array<f32>;     // [2 count], chosen before rejected, or [count]; the nll behind them
@group(0) @binding(2) var<storage, read> given: array<f32>;      // as policy: the reference's
@group(0) @binding(3) var<storage, read> tokens: array<f32>;     // as policy: how many the answer has; of undesirable ones the negative
@group(0) @binding(4) var<storage, read> logits: array<f32>;     // as policy: summed over the answer's tokens, mean over the vocabulary
@group(0) @binding(5) var<storage, read> kl: array<f32>;         // [count]: of answers to other prompts, policy minus reference
@group(0) @binding(6) var<storage, read_write> loss: array<f32>;     // [count]
@group(0) @binding(7) var<storage, read_write> gradient: array<f32>; // as policy
@group(0) @binding(8) var<storage, read_write> measured: array<f32>; // [count, MEASURES]

const WG: u32 = 64u;
const LOSS: u32 = 0u;           // by its place in LOSSES of kernels/preference.ts
const ACCUMULATE: bool = false; // the other losses are there
const NLL: bool = false;
const KL: bool = true;
const DIVERGENCE: u32 = 0u;     // by its place in DIVERGENCES of kernels/preference.ts
const MEASURES: u32 = 16u;

// log sigmoid(x), without overflow
fn log_sigmoid(x: f32) -> f32 { return min(x, 0.0) - log1p(exp(-abs(x))); }

fn sigmoid(x: f32) -> f32 {
  let e = exp(-abs(x));
  return select(e, 1.0, x >= 0.0) / (1.0 + e);
}

// d sigmoid / dx
fn slope(x: f32) -> f32 { return sigmoid(x) * sigmoid(-x); }

// log(1 + x) for x in [0, 1]: where 1 + x has lost digits of x, they are put back
fn log1p(x: f32) -> f32 {
  if (x < 1e-4) { return x - 0.5 * x * x; }
  return log(1.0 + x);
}

// 1 - exp(x) for x <= 0; near 0 the difference loses its digits, and a series does not
fn minus_expm1(x: f32) -> f32 {
  if (x > -0.03) { return -x * (1.0 + x * (0.5 + x * (1.0 / 6.0 + x / 24.0))); }
  return 1.0 - exp(x);
}

// A loss and its derivatives by the scores of the chosen and the rejected answer.
struct Term { value: f32, chosen: f32, rejected: f32 }

fn of_difference(value: f32, slope: f32) -> Term { return Term(value, slope, -slope); }

// -(1 - e) log sigmoid(z) - e log sigmoid(-z), and its derivative
fn smoothed(z: f32) -> vec2f {
  let e = params.smoothing;
  return vec2f(-(1.0 - e) * log_sigmoid(z) - e * log_sigmoid(-z), e * sigmoid(z) - (1.0 - e) * sigmoid(-z));
}

fn exo(z: f32) -> vec2f {
  let e = params.smoothing;
  let excess = (log_sigmoid(z) - log(1.0 - e)) - (log_sigmoid(-z) - log(e));
  let value = sigmoid(z) * (log_sigmoid(z) - log(1.0 - e)) + sigmoid(-z) * (log_sigmoid(-z) - log(e));
  return vec2f(value, slope(z) * excess);
}

fn robust(z: f32) -> vec2f {
  let e = params.smoothing;
  let value = e * log_sigmoid(-z) - (1.0 - e) * log_sigmoid(z);
  return vec2f(value, -(1.0 - e) * sigmoid(-z) - e * sigmoid(z)) / (1.0 - 2.0 * e);
}

fn discopop(z: f32) -> vec2f {
  let mix = sigmoid(z / params.tau);
  let bend = slope(z / params.tau) / params.tau;
  let value = mix * exp(-z) - (1.0 - mix) * log_sigmoid(z);
  return vec2f(value, bend * (exp(-z) + log_sigmoid(z)) - mix * exp(-z) - (1.0 - mix) * sigmoid(-z));
}

// log of the odds of exp(x) against those of exp(y), both mean log p
fn log_odds(x: f32, y: f32) -> f32 {
  return (x - y) - (log(minus_expm1(x)) - log(minus_expm1(y)));
}

// f'(t) of the divergence at t = exp(x), and its derivative by x (f-DPO)
fn score(x: f32) -> vec2f {
  switch DIVERGENCE {
    case 1u: { return vec2f(1.0 - exp(-x), exp(-x)); }                   // forward_kl
    case 2u: { return vec2f(log(2.0) + log_sigmoid(x), sigmoid(-x)); }   // js_divergence
    case 3u: {                                                           // alpha_divergence; beyond 80 exp overflows
      let power = exp(min(params.alpha * x, 80.0));
      return vec2f((power - 1.0) / params.alpha, select(0.0, power, params.alpha * x < 80.0));
    }
    default: { return vec2f(x, 1.0); }                                   // reverse_kl
  }
}

// One of the columns that losses of sorted scores compare.
const POLICY: u32 = 0u;   // log p of chosen minus rejected
const GIVEN: u32 = 1u;    // the reference's
const CHOSEN: u32 = 2u;   // of chosen, policy minus reference
const REJECTED: u32 = 3u;

fn sorted_value(column: u32, pair: u32) -> f32 {
  let other = params.count + pair;
  switch column {
    case POLICY: { return policy[pair] - policy[other]; }
    case GIVEN: { return given[pair] - given[other]; }
    case CHOSEN: { return policy[pair] - given[pair]; }
    default: { return policy[other] - given[other]; }
  }
}

// How many values of a column come before this pair's.
fn rank(column: u32, pair: u32) -> u32 {
  let own = sorted_value(column, pair);
  var before = 0u;
  for (var i = 0u; i < params.count; i++) {
    let value = sorted_value(column, i);
    if (value < own || (value == own && i < pair)) { before++; }
  }
  return before;
}

// The value of this rank.
fn ranked(column: u32, wanted: u32) -> f32 {
  for (var i = 0u; i < params.count; i++) {
    if (rank(column, i) == wanted) { return sorted_value(column, i); }
  }
  return 0.0;
}

fn term(pair: u32) -> Term {
  let other = params.count + pair;
  let chosen = score(policy[pair] - given[pair]);
  let rejected = score(policy[other] - given[other]);
  let l = term_of(pair, chosen.x, rejected.x);
  return Term(l.value, l.chosen * chosen.y, l.rejected * rejected.y);
}

// The loss of a pair with these scores, and its derivatives by them.
fn term_of(pair: u32, c: f32, r: f32) -> Term {
  let other = params.count + pair;
  let beta = params.beta;
  let z = beta * (c - r);
  let share = vec2f(1.0 / max(tokens[pair], 1.0), 1.0 / max(tokens[other], 1.0));
  switch LOSS {
    case 0u: { // sigmoid
      let l = smoothed(z - params.shift);
      return of_difference(l.x, beta * l.y);
    }
    case 1u: { // hinge
      return of_difference(max(0.0, 1.0 - z), select(0.0, -beta, z < 1.0));
    }
    case 2u: { // ipo
      let off = c * share.x - r * share.y - 0.5 / beta;
      return Term(off * off, 2.0 * off * share.x, -2.0 * off * share.y);
    }
    case 3u: { // robust
      let l = robust(z);
      return of_difference(l.x, beta * l.y);
    }
    case 4u: { // exo_pair
      let l = exo(z);
      return of_difference(l.x, beta * l.y);
    }
    case 5u: { // nca_pair
      let value = -log_sigmoid(beta * c) - 0.5 * log_sigmoid(-beta * c) - 0.5 * log_sigmoid(-beta * r);
      let chosen = 0.5 * sigmoid(beta * c) - sigmoid(-beta * c);
      return Term(value, beta * chosen, 0.5 * beta * sigmoid(beta * r));
    }
    case 6u: { // bco_pair
      let value = -log_sigmoid(beta * c) - log_sigmoid(-beta * r);
      return Term(value, -beta * sigmoid(-beta * c), beta * sigmoid(beta * r));
    }
    case 7u: { // sppo_hard
      let off = vec2f(c - 0.5 / beta, r + 0.5 / beta);
      return Term(dot(off, off), 2.0 * off.x, 2.0 * off.y);
    }
    case 8u: { // apo_zero
      return Term(sigmoid(-beta * c) + sigmoid(beta * r), -beta * slope(beta * c), beta * slope(beta * r));
    }
    case 9u: { // apo_down
      let value = sigmoid(beta * c) + sigmoid(-z);
      return Term(value, beta * (slope(beta * c) - slope(z)), beta * slope(z));
    }
    case 10u: { // discopop
      let l = discopop(z);
      return of_difference(l.x, beta * l.y);
    }
    case 11u: { // sigmoid_norm
      let l = smoothed(beta * (c * share.x - r * share.y));
      return Term(l.x, beta * l.y * share.x, -beta * l.y * share.y);
    }
    case 12u: { // aot: the log ratios of the model, sorted, against the reference's
      let l = smoothed(beta * (sorted_value(POLICY, pair) - ranked(GIVEN, rank(POLICY, pair))));
      return of_difference(l.x, beta * l.y);
    }
    case 13u: { // aot_unpaired: scores of chosen answers, sorted, against those of rejected ones
      let l = smoothed(beta * (c - ranked(REJECTED, rank(CHOSEN, pair))));
      let mirrored = smoothed(beta * (ranked(CHOSEN, rank(REJECTED, pair)) - r));
      return Term(l.x, beta * l.y, -beta * mirrored.y);
    }
    case 14u: { // orpo: 1 + exp(x) / (1 - exp(x)) = 1 / (1 - exp(x))
      let l = log_odds(c, r);
      let d = -beta * sigmoid(-l);
      return Term(-beta * log_sigmoid(l), d / minus_expm1(c), -d / minus_expm1(r));
    }
    case 15u: { // reward: the reference of the chosen answer is the margin
      let both = policy[pair] + policy[other];
      let d = -sigmoid(r - c);
      let pull = 2.0 * params.center * both;
      return Term(-log_sigmoid(c - r) + params.center * both * both, d + pull, pull - d);
    }
    default: { // none: the nll is all there is
      return Term(0.0, 0.0, 0.0);
    }
  }
}

@compute @workgroup_size(WG)
fn pairs(@builtin(global_invocation_id) id: vec3u) {
  let pair = id.x;
  if (pair >= params.count) { return; }
  let other = params.count + pair;
  let l = term(pair);
  let nll = policy[2u * params.count * select(0u, 1u, NLL)];
  if (ACCUMULATE) {
    loss[pair] += params.weight * l.value;
    gradient[pair] += params.weight * l.chosen;
    gradient[other] += params.weight * l.rejected;
    return;
  }
  loss[pair] = params.weight * l.value;
  gradient[pair] = params.weight * l.chosen;
  gradient[other] = params.weight * l.rejected;
  if (NLL) {
    loss[pair] += params.nll * nll;
    if (pair == 0u) { gradient[2u * params.count] = params.nll * f32(params.count); }
  }
  measure_pair(pair, nll);
}

// The columns are those of MEASURES in kernels/preference.ts.
fn measure_pair(pair: u32, nll: f32) {
  let other = params.count + pair;
  let c = params.beta * (policy[pair] - select(given[pair], 0.0, LOSS == 15u));
  let r = params.beta * (policy[other] - given[other]);
  let at = pair * MEASURES;
  measured[at] = c;
  measured[at + 1u] = r;
  measured[at + 2u] = select(0.0, 1.0, c > r);
  measured[at + 3u] = policy[pair];
  measured[at + 4u] = policy[other];
  measured[at + 5u] = logits[pair];
  measured[at + 6u] = logits[other];
  measured[at + 7u] = select(0.0, nll, NLL);
  let odds = select(0.0, log_odds(min(policy[pair], -1e-30), min(policy[other], -1e-30)), LOSS == 14u);
  measured[at + 8u] = select(0.0, log_sigmoid(odds), LOSS == 14u);
  measured[at + 9u] = odds;
  measured[at + 10u] = tokens[pair];
  measured[at + 11u] = tokens[other];
  measured[at + 12u] = 1.0;
  measured[at + 13u] = select(0.0, 1.0, pair == 0u);
  var range = vec2f(policy[0], policy[0]);
  for (var i = 1u; i < 2u * params.count; i++) { range = vec2f(min(range.x, policy[i]), max(range.y, policy[i])); }
  measured[at + 14u] = select(0.0, range.x, pair == 0u);
  measured[at + 15u] = select(0.0, range.y, pair == 0u);
}

// The mean over the batch, and no less than 0.
fn divergence() -> f32 {
  if (!KL) { return 0.0; }
  var sum = 0.0;
  for (var i = 0u; i < params.count; i++) { sum += kl[i]; }
  return max(0.0, sum / f32(params.count));
}

@compute @workgroup_size(WG)
fn judged(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x;
  if (i >= params.count) { return; }
  let desirable = tokens[i] > 0.0;
  let direction = select(-params.beta, params.beta, desirable);
  let weight = select(params.undesirable, params.desirable, desirable);
  let ratio = policy[i] - given[i];
  let mean = divergence();
  let z = direction * (ratio - mean);
  loss[i] = weight * sigmoid(-z);
  gradient[i] = -weight * direction * slope(z);
  for (var k = 0u; k < MEASURES; k++) { measured[i * MEASURES + k] = 0.0; }
  let at = i * MEASURES + select(1u, 0u, desirable);
  measured[at] = params.beta * ratio;
  measured[i * MEASURES + 2u] = select(0.0, 1.0, desirable);
  measured[at + 3u] = policy[i];
  measured[at + 5u] = logits[i];
  measured[i * MEASURES + 7u] = mean;
  measured[at + 10u] = abs(tokens[i]);
  measured[i * MEASURES + 12u] = 1.0;
  measured[i * MEASURES + 13u] = select(0.0, 1.0, i == 0u);
}
