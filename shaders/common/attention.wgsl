// What every attention kernel shares: the problem's sizes, its inputs, and which keys a query sees.
struct Params {
  queries: u32, keys: u32, // T, and S: the keys of k and v that hold something
  key_stride: u32,         // rows of k and v a sequence, at least S: the capacity of a cache
  heads: u32, kv_heads: u32,
  past: u32,               // absolute position of query 0
  window: u32,             // a query sees this many positions up to its own; 0: all
  ahead: u32,              // and this many after its own: 0 under a causal mask, else more than there are
  padded: u32,             // 1: lengths holds the sequences' lengths
  scale: f32,
  vectors: u32             // DV, as a number that the compiler does not know: it must not unroll loops over a head
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<cell>; // [B, T, H, D]
@group(0) @binding(2) var<storage, read> k: array<cell>; // [B, key_stride, Hkv, D]
@group(0) @binding(3) var<storage, read> v: array<cell>; // [B, key_stride, Hkv, D]
@group(0) @binding(4) var<storage, read> lengths: array<u32>; // [B], read where params.padded

const HEAD_DIM: u32 = 64u;       // D, at most 256
alias cell = vec4f;              // f32 where D is not a multiple of 4
const SOFTCAP: f32 = 0.0;        // s becomes SOFTCAP tanh(s / SOFTCAP); 0: no cap
const DV: u32 = (HEAD_DIM + 3u) / 4u; // vectors a head
const HIDDEN: f32 = -2e30;       // score of a key that is not seen: finite, as compilers may assume no infinities,
const LEAST: f32 = -1e30;        // and so far below the running maximum's start that exp(HIDDEN - LEAST) is 0

// Tensors, for the functions load and put that a kernel file has. Each call names one, so the choice is folded.
const Q: u32 = 0u;
const K: u32 = 1u;
const V: u32 = 2u;
const O: u32 = 3u;
const DO: u32 = 4u;

// Positions [0, length) of a sequence are not padding.
fn sequence_length(batch: u32) -> u32 {
  if (params.padded > 0u) { return lengths[batch]; }
  return 0xffffffffu;
}

fn key_end(batch: u32) -> u32 {
  return min(params.keys, sequence_length(batch));
}

fn query_end(batch: u32) -> u32 {
  return min(params.queries, max(sequence_length(batch), params.past) - params.past);
}

// Row of q and o, counted in heads.
fn query_row(batch: u32, query: u32, head: u32) -> u32 {
  return (batch * params.queries + query) * params.heads + head;
}

// Row of k and v, counted in heads.
fn key_row(batch: u32, key: u32, kv_head: u32) -> u32 {
  return (batch * params.key_stride + key) * params.kv_heads + kv_head;
}

// Keys [x, y) that queries [first, last) of a sequence see between them.
fn key_span(batch: u32, first: u32, last: u32) -> vec2u {
  let past_first = params.past + first;
  var span = vec2u(0u, key_end(batch));
  span.y = min(span.y, params.past + last + params.ahead);
  if (params.window > 0u) { span.x = max(past_first + 1u, params.window) - params.window; }
  if (first >= last) { span.y = 0u; }
  return span;
}

// Whether the mask lets queries at these positions see these keys, ends of the sequence aside.
fn sees(positions: vec4u, keys: vec4u) -> vec4<bool> {
  var seen = keys <= positions + params.ahead;
  if (params.window > 0u) { seen = seen & (keys + params.window > positions); }
  return seen;
}

// Scaled and capped scores. tanh overflows on some drivers, and is 1 in f32 beyond 15.
fn capped(products: vec4f) -> vec4f {
  let s = products * params.scale;
  if (SOFTCAP == 0.0) { return s; }
  let cap = max(SOFTCAP, 1e-6); // WGSL forbids a constant zero divisor even in a branch not taken
  return cap * tanh(clamp(s / cap, vec4f(-15.0), vec4f(15.0)));
}

// P of four scores, 0 where the key is not seen.
fn probability(s: vec4f, logsum: vec4f, seen: vec4<bool>) -> vec4f {
  return select(vec4f(), exp(min(s - logsum, vec4f())), seen);
}

// Gradient of four products q k^T, through the cap (tanh' = 1 - tanh^2) and the scale.
fn slope(p: vec4f, s: vec4f, dp: vec4f, d: vec4f) -> vec4f {
  let ds = p * (dp - d) * params.scale;
  if (SOFTCAP == 0.0) { return ds; }
  let t = s / max(SOFTCAP, 1e-6);
  return ds * (1.0 - t * t);
}

// Four values of a head from four cells in a row, zero beyond its end; only where D is not a multiple of 4.
fn assemble(a: cell, b: cell, c: cell, d: cell, column: u32) -> vec4f {
  let values = vec4f(vec4f(a).x, vec4f(b).x, vec4f(c).x, vec4f(d).x);
  return select(vec4f(), values, 4u * column + vec4u(0u, 1u, 2u, 3u) < vec4u(HEAD_DIM));
}

fn load_q(row: u32, column: u32) -> vec4f {
  if (HEAD_DIM % 4u == 0u) { return vec4f(q[row * DV + column]); }
  let i = row * HEAD_DIM + 4u * column;
  return assemble(q[i], q[i + 1u], q[i + 2u], q[i + 3u], column);
}

fn load_k(row: u32, column: u32) -> vec4f {
  if (HEAD_DIM % 4u == 0u) { return vec4f(k[row * DV + column]); }
  let i = row * HEAD_DIM + 4u * column;
  return assemble(k[i], k[i + 1u], k[i + 2u], k[i + 3u], column);
}

fn load_v(row: u32, column: u32) -> vec4f {
  if (HEAD_DIM % 4u == 0u) { return vec4f(v[row * DV + column]); }
  let i = row * HEAD_DIM + 4u * column;
  return assemble(v[i], v[i + 1u], v[i + 2u], v[i + 3u], column);
}
