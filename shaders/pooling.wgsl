// y[n] = Σ w[t] x[first + t] or max x[first + t] over the t < count of documents[n],  and backward: dx[first + t] = w[t] dy[n]
// Each workgroup goes through a run of elements of the output, in vectors of four where cols allows. The padding gets 0.
// max_backward goes through elements of dy and writes those of all tokens: the first that is the maximum gets dy.
struct Params { count: u32, tokens: u32, cols: u32, documents: u32 } // count and cols in units of elem; tokens of the batch

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<elem>;          // [tokens, cols]
@group(0) @binding(2) var<storage, read> documents: array<vec2u>; // [N] of (first, count): in order, apart from each other
@group(0) @binding(3) var<storage, read_write> y: array<elem>;    // [N, cols]
@group(0) @binding(4) var<storage, read> dy: array<elem>;         // [N, cols]
@group(0) @binding(5) var<storage, read_write> dx: array<elem>;   // [tokens, cols]

alias elem = vec4f; // f32 where cols is not a multiple of four
const ACCUMULATE: bool = false; // add to dx instead of overwriting it
const WEIGHTS: u32 = 0u; // w[t] of n tokens: 0: 1 / n; 1: 1 / √n; 2: (t + 1) / (1 + 2 + … + n)
const WG: u32 = 64u;
// #import "common/elements.wgsl"

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

// The last document that begins at a token or before it; the first one where none does.
fn document_of(token: u32) -> u32 {
  var low = 0u;
  var high = params.documents;
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (documents[middle].x <= token) { low = middle; } else { high = middle; }
  }
  return low;
}

fn put(i: u32, value: elem) {
  if (ACCUMULATE) { dx[i] += value; } else { dx[i] = value; }
}

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let document = documents[i / params.cols];
    let first = document.x * params.cols + i % params.cols;
    var sum = elem(0.0);
    for (var t = 0u; t < document.y; t++) { sum += x[first + t * params.cols] * rise(t); }
    y[i] = sum * scale(document.y);
  }
}

@compute @workgroup_size(WG)
fn backward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let n = document_of(i / params.cols);
    let document = documents[n];
    let t = i / params.cols - document.x; // wraps before the first document: more than it has
    var value = elem(0.0);
    if (t < document.y) { value = dy[n * params.cols + i % params.cols] * (rise(t) * scale(document.y)); }
    put(i, value);
  }
}

@compute @workgroup_size(WG)
fn max_forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let document = documents[i / params.cols];
    let first = document.x * params.cols + i % params.cols;
    var best = x[first];
    for (var t = 1u; t < document.y; t++) {
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
    let n = i / params.cols;
    let column = i % params.cols;
    let document = documents[n];
    var best = x[document.x * params.cols + column];
    var top = elem(f32(document.x));
    for (var t = document.x + 1u; t < document.x + document.y; t++) {
      let value = x[t * params.cols + column];
      top = select(top, elem(f32(t)), value > best);
      best = select(best, value, value > best);
    }
    // The padding before the first document is written with it, that behind a document with that one.
    let first = select(document.x, 0u, n == 0u);
    var end = params.tokens;
    if (n + 1u < params.documents) { end = documents[n + 1u].x; }
    for (var t = first; t < end; t++) {
      put(t * params.cols + column, select(elem(0.0), dy[i], top == elem(f32(t))));
    }
  }
}
