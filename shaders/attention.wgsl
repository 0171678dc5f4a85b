// o = softmax(scale q k^T + mask) v,  logsumexp of each row of scores: no T x S matrix, keys are visited 32 at a time
// One workgroup per 32 queries of a head; each of its 8x8 invocations computes the scores of 4 queries x 4 keys, then
// 4 queries x 8 of every 64 columns of o. FlashAttention-2, Dao 2023, arXiv 2307.08691, algorithm 1.
// #import "common/attention.wgsl"
// #import "common/attention-tile.wgsl"
@group(0) @binding(5) var<storage, read_write> o: array<stored>;      // [B, T, H, D]
@group(0) @binding(6) var<storage, read_write> logsumexp: array<f32>; // [B, H, T]
@group(0) @binding(7) var<storage, read> sinks: array<f32>;           // [H], where there are any
// #import "common/attention-totals.wgsl"

alias stored = f32; // one value of a cell

fn load(source: u32, row: u32, column: u32) -> vec4f {
  if (source == Q) { return load_q(row, column); }
  if (source == K) { return load_k(row, column); }
  return load_v(row, column);
}

fn masked(s: vec4f, seen: Seen, key: u32) -> vec4f {
  return select(vec4f(HIDDEN), capped(s), sees(seen, key));
}

// shrink sums + p^T v, for one chunk.
fn add_values(sums: Columns, shrink: vec4f, p: mat4x4f, rows: vec2u, count: u32, chunk: u32, id: vec3u, lane: u32) -> Columns {
  workgroupBarrier(); // the tile and what is shared may still be read
  stage(V, rows, params.kv_heads, chunk, lane);
  return accumulate(Columns(rescaled(sums.low, shrink), rescaled(sums.high, shrink)), p, count, id);
}

// Tells the invocations of the same four rows a vector of them.
fn tell(value: vec4f, id: vec3u) {
  let x = id.x & 3u;
  shared_vectors[id.x / 4u][x][id.y ^ x] = value;
}

fn told(x: u32, y: u32) -> vec4f {
  let i = x & 3u;
  return shared_vectors[x / 4u][i][y ^ i];
}

fn put(output: u32, i: u32, value: f32) {
  o[i] = stored(value);
}

@compute @workgroup_size(8, 8)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_id) id: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let first = (grid.x - 1u - group.x) * BLOCK; // under a causal mask the last queries have most keys: start them first
  let head = group.y;
  let batch = group.z;
  let kv_head = head / (params.heads / params.kv_heads);
  let row = row_of(batch);
  let real = tokens_of(row);
  let span = key_span(batch, row, first, min(first + BLOCK, real.y));
  let last_key_row = key_row(batch, max(span.y, 1u) - 1u, kv_head);
  let own = first + 4u * id.y + vec4u(0u, 1u, 2u, 3u);
  let seen = keys_of_four(batch, row, own);
  let rows = (batch * params.queries + nearest(own, real)) * params.heads + head;
  var m = vec4f(LEAST);
  var l = vec4f(); // of this invocation's own keys until the end
  var o0 = Columns();
  var o1 = Columns();
  var o2 = Columns();
  var o3 = Columns();
  for (var key = span.x; key < span.y; key += BLOCK) {
    let key_rows = vec2u(key_row(batch, key, kv_head), last_key_row);
    let count = min(BLOCK, span.y - key);
    var s = mat4x4f();
    for (var chunk = 0u; chunk * WIDTH < DV; chunk++) {
      workgroupBarrier(); // the tile may still be read
      stage(K, key_rows, params.kv_heads, chunk, lane);
      workgroupBarrier();
      s += products(Q, rows, chunk, id.x);
    }
    let mine = key + id.x;
    let s0 = masked(s[0], seen, mine);
    let s1 = masked(s[1], seen, mine + 8u);
    let s2 = masked(s[2], seen, mine + 16u);
    let s3 = masked(s[3], seen, mine + 24u);
    tell(max(max(s0, s1), max(s2, s3)), id);
    workgroupBarrier();
    var top = m;
    for (var i = 0u; i < 8u; i++) {
      top = max(top, told(i, id.y));
    }
    let shrink = exp(m - top);
    m = top;
    let p = mat4x4f(exp(s0 - top), exp(s1 - top), exp(s2 - top), exp(s3 - top));
    l = l * shrink + p[0] + p[1] + p[2] + p[3];
    o0 = add_values(o0, shrink, p, key_rows, count, 0u, id, lane);
    if (DV > 16u) { o1 = add_values(o1, shrink, p, key_rows, count, 1u, id, lane); }
    if (DV > 32u) { o2 = add_values(o2, shrink, p, key_rows, count, 2u, id, lane); }
    if (DV > 48u) { o3 = add_values(o3, shrink, p, key_rows, count, 3u, id, lane); }
  }
  workgroupBarrier();
  tell(l, id);
  workgroupBarrier();
  l = vec4f();
  for (var i = 0u; i < 8u; i++) {
    l += told(i, id.y);
  }
  let end = totals(m, l, head);
  let count = min(4u, max(params.queries, own.x) - own.x);
  let out = query_row(batch, own.x, head);
  store_columns(O, out, params.heads, count, o0, end.factors, 0u, id.x);
  if (DV > 16u) { store_columns(O, out, params.heads, count, o1, end.factors, 1u, id.x); }
  if (DV > 32u) { store_columns(O, out, params.heads, count, o2, end.factors, 2u, id.x); }
  if (DV > 48u) { store_columns(O, out, params.heads, count, o3, end.factors, 3u, id.x); }
  if (id.x < count) {
    logsumexp[(batch * params.heads + head) * params.queries + own[id.x]] = end.logsumexp[id.x];
  }
}
