// What every attention kernel shares: the problem's sizes, its inputs, and which keys a query sees.
struct Params {
  queries: u32,            // T: tokens of a row of the batch
  key_stride: u32,         // rows of k and v for each of them: T, or more where there are earlier keys (a cache)
  heads: u32, kv_heads: u32,
  window: u32,             // a query sees this many keys up to its own; 0: all
  ahead: u32,              // and this many after its own: 0 under a causal mask, else more than there are
  scale: f32,
  vectors: u32             // DV, as a number that the compiler does not know: it must not unroll loops over a head
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<cell>; // [B, T, H, D]
@group(0) @binding(2) var<storage, read> k: array<cell>; // [B, key_stride, Hkv, D]
@group(0) @binding(3) var<storage, read> v: array<cell>; // [B, key_stride, Hkv, D]
@group(0) @binding(4) var<storage, read> spans: array<vec2u>; // [B, T] of (first key, end of the keys) of a token's document

const HEAD_DIM: u32 = 64u;       // D, at most 256
alias cell = vec4f;              // f32 where D is not a multiple of 4; halves in mixed precision
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

// A row of the batch. T keys are those of its own tokens and come after all others, so key past + i is token i's.
// Padding lies before and after the documents and is a document of length 0: (s, s) before them, s being where they begin;
// (E, e) after them, E being where the row's keys end, and e where the documents do.
struct Row {
  past: u32,           // keys before those of its own tokens
  first: u32, end: u32 // keys first .. end - 1 are no padding
}

fn row_of(batch: u32) -> Row {
  let at = batch * params.queries;
  let last = spans[at + params.queries - 1u];
  return Row(max(last.x, last.y) - params.queries, spans[at].x, last.y);
}

// Tokens [x, y) of a row that are no padding.
fn tokens_of(row: Row) -> vec2u {
  return max(vec2u(row.first, row.end), vec2u(row.past)) - row.past;
}

// The nearest of some tokens or keys that are no padding: what lies in the padding may be NaN.
fn nearest(rows: vec4u, real: vec2u) -> vec4u {
  return min(max(rows, vec4u(real.x)), vec4u(max(real.y, 1u) - 1u));
}

// Row of q and o, counted in heads.
fn query_row(batch: u32, query: u32, head: u32) -> u32 {
  return (batch * params.queries + query) * params.heads + head;
}

// Row of k and v, counted in heads.
fn key_row(batch: u32, key: u32, kv_head: u32) -> u32 {
  return (batch * params.key_stride + key) * params.kv_heads + kv_head;
}

// Keys [x, y) that a query sees; none where y <= x. Neither decreases from query to query.
fn keys_of(batch: u32, row: Row, query: u32) -> vec2u {
  let next = row.past + query + 1u; // after its own key
  var seen = spans[batch * params.queries + min(query, params.queries - 1u)];
  if (params.window > 0u) { seen.x = max(seen.x, max(next, params.window) - params.window); }
  return vec2u(seen.x, min(seen.y, next + params.ahead));
}

// Keys [x, y) that queries [first, last) see between them.
fn key_span(batch: u32, row: Row, first: u32, last: u32) -> vec2u {
  if (first >= last) { return vec2u(); }
  return vec2u(keys_of(batch, row, first).x, keys_of(batch, row, last - 1u).y);
}

// Queries [x, y) that see a key: those of its document, or of the row's first one where it lies before the row's own keys.
fn queries_of(batch: u32, row: Row, key: u32) -> vec2u {
  let token = min(max(key, row.past) - row.past, params.queries - 1u);
  let span = spans[batch * params.queries + token];
  let reach = row.past + params.ahead;
  var seen = max(span, vec2u(row.past)) - row.past;
  seen.x = max(seen.x, max(key, reach) - reach);
  if (params.window > 0u) { seen.y = min(seen.y, max(key + params.window, row.past) - row.past); }
  if (key < span.x || key >= span.y) { seen.y = 0u; } // padding
  return seen;
}

// Queries [x, y) that see any of the keys [first, last).
fn query_span(batch: u32, row: Row, first: u32, last: u32) -> vec2u {
  if (first >= last) { return vec2u(); }
  return vec2u(queries_of(batch, row, first).x, queries_of(batch, row, last - 1u).y);
}

// What four queries or four keys see of the other side: first .. end - 1.
struct Seen { first: vec4u, end: vec4u }

fn keys_of_four(batch: u32, row: Row, queries: vec4u) -> Seen {
  let a = keys_of(batch, row, queries.x);
  let b = keys_of(batch, row, queries.y);
  let c = keys_of(batch, row, queries.z);
  let d = keys_of(batch, row, queries.w);
  return Seen(vec4u(a.x, b.x, c.x, d.x), vec4u(a.y, b.y, c.y, d.y));
}

fn queries_of_four(batch: u32, row: Row, keys: vec4u) -> Seen {
  let a = queries_of(batch, row, keys.x);
  let b = queries_of(batch, row, keys.y);
  let c = queries_of(batch, row, keys.z);
  let d = queries_of(batch, row, keys.w);
  return Seen(vec4u(a.x, b.x, c.x, d.x), vec4u(a.y, b.y, c.y, d.y));
}

fn sees(seen: Seen, other: u32) -> vec4<bool> {
  return (seen.first <= vec4u(other)) & (vec4u(other) < seen.end);
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
