// y[b] = Σ w[t] x[b, t] or max x[b, t] over t < n = lengths[b],  and backward: dx[b, t] = w[t] dy[b], 0 in the padding
// Each workgroup goes through a run of elements of the output, in vectors of four where cols allows.
// max_backward goes through elements of dy and writes those of all tokens: the first that is the maximum gets dy.
struct Params { count: u32, tokens: u32, cols: u32, padded: u32 } // count and cols in units of elem

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<elem>;       // [batch, tokens, cols]
@group(0) @binding(2) var<storage, read> lengths: array<u32>;  // [batch]; not read unless padded is 1
@group(0) @binding(3) var<storage, read_write> y: array<elem>; // [batch, cols]
@group(0) @binding(4) var<storage, read> dy: array<elem>;      // [batch, cols]
@group(0) @binding(5) var<storage, read_write> dx: array<elem>; // [batch, tokens, cols]

alias elem = vec4f; // f32 where cols is not a multiple of four
const ACCUMULATE: bool = false; // add to dx instead of overwriting it
const WEIGHTS: u32 = 0u; // w[t]: 0: 1 / n; 1: 1 / √n; 2: (t + 1) / (1 + 2 + … + n)
const WG: u32 = 64u;
// #import "common/elements.wgsl"

fn valid(batch: u32) -> u32 {
  if (params.padded == 0u) { return params.tokens; }
  return min(lengths[batch], params.tokens);
}

// The weight of token t of n is this times t + 1 where WEIGHTS is 2.
fn scale(n: u32) -> f32 {
  let count = f32(max(n, 1u));
  if (WEIGHTS == 1u) { return inverseSqrt(count); }
  if (WEIGHTS == 2u) { return 2.0 / (count * (count + 1.0)); }
  return 1.0 / count;
}

fn rise(t: u32) -> f32 {
  if (WEIGHTS == 2u) { return f32(t + 1u); }
  return 1.0;
}

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let batch = i / params.cols;
    let n = valid(batch);
    let first = batch * params.tokens * params.cols + i % params.cols;
    var sum = elem(0.0);
    for (var t = 0u; t < n; t++) { sum += x[first + t * params.cols] * rise(t); }
    y[i] = sum * scale(n);
  }
}

@compute @workgroup_size(WG)
fn backward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let row = i / params.cols;
    let batch = row / params.tokens;
    let t = row % params.tokens;
    let n = valid(batch);
    var value = elem(0.0);
    if (t < n) { value = dy[batch * params.cols + i % params.cols] * (rise(t) * scale(n)); }
    if (ACCUMULATE) { dx[i] += value; } else { dx[i] = value; }
  }
}

@compute @workgroup_size(WG)
fn max_forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let batch = i / params.cols;
    let n = valid(batch);
    let first = batch * params.tokens * params.cols + i % params.cols;
    var best = x[first];
    for (var t = 1u; t < n; t++) {
      let value = x[first + t * params.cols];
      best = select(best, value, value > best);
    }
    y[i] = best;
  }
}

@compute @workgroup_size(WG)
fn max_backward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let batch = i / params.cols;
    let n = valid(batch);
    let first = batch * params.tokens * params.cols + i % params.cols;
    var best = x[first];
    var at = elem(0.0);
    for (var t = 1u; t < n; t++) {
      let value = x[first + t * params.cols];
      at = select(at, elem(f32(t)), value > best);
      best = select(best, value, value > best);
    }
    for (var t = 0u; t < params.tokens; t++) {
      let value = select(elem(0.0), dy[i], at == elem(f32(t)));
      let place = first + t * params.cols;
      if (ACCUMULATE) { dx[place] += value; } else { dx[place] = value; }
    }
  }
}
