// With P = exp(s - logsumexp), D = rowsum(do * o):  dv = P^T do,  ds = P * (do v^T - D),  dq = scale ds k,  dk = scale ds^T q
// Owner computes, so that no float atomics are needed: one workgroup per 32 queries of a head (backward_query), and one
// per 32 keys of a kv head, which visits all query heads of its group (backward_key). P is recomputed, never stored.
// FlashAttention-2, Dao 2023, arXiv 2307.08691, algorithm 2.
// #import "common/attention.wgsl"
// #import "common/attention-tile.wgsl"
@group(0) @binding(5) var<storage, read> d_o: array<cell>;          // [B, T, H, D]
@group(0) @binding(6) var<storage, read> stats: array<vec2f>;       // [B, H, T] of (logsumexp, D)
@group(0) @binding(7) var<storage, read_write> d_own: array<stored>;   // dq like q, or dk like k: what the workgroup owns
@group(0) @binding(8) var<storage, read_write> dv: array<stored>;      // like v; backward_query does not write it
@group(0) @binding(9) var<storage, read> o: array<cell>;            // [B, T, H, D]
@group(0) @binding(10) var<storage, read> logsumexp: array<f32>;    // [B, H, T]
@group(0) @binding(11) var<storage, read_write> stats_out: array<vec2f>;

alias stored = f32;     // one value of a cell
const ROWS: u32 = 64u; // rows of the statistics a workgroup

fn load_do(row: u32, column: u32) -> vec4f {
  if (HEAD_DIM % 4u == 0u) { return vec4f(d_o[row * DV + column]); }
  let i = row * HEAD_DIM + 4u * column;
  return assemble(d_o[i], d_o[i + 1u], d_o[i + 2u], d_o[i + 3u], column);
}

fn load_o(row: u32, column: u32) -> vec4f {
  if (HEAD_DIM % 4u == 0u) { return vec4f(o[row * DV + column]); }
  let i = row * HEAD_DIM + 4u * column;
  return assemble(o[i], o[i + 1u], o[i + 2u], o[i + 3u], column);
}

fn load(source: u32, row: u32, column: u32) -> vec4f {
  if (source == Q) { return load_q(row, column); }
  if (source == K) { return load_k(row, column); }
  if (source == V) { return load_v(row, column); }
  return load_do(row, column);
}

// One invocation per query and head.
@compute @workgroup_size(ROWS)
fn statistics(@builtin(global_invocation_id) id: vec3u) {
  let query = id.x / params.heads;
  if (query >= params.queries) { return; }
  let row = query_row(id.y, query, id.x % params.heads);
  var sum = 0.0;
  for (var column = 0u; column < params.vectors; column++) {
    sum += dot(load_do(row, column), load_o(row, column));
  }
  let i = (id.y * params.heads + id.x % params.heads) * params.queries + query;
  stats_out[i] = vec2f(logsumexp[i], sum);
}

fn put(output: u32, i: u32, value: f32) {
  if (output == V) { dv[i] = stored(value); } else { d_own[i] = stored(value); }
}

fn capped_all(products: mat4x4f) -> mat4x4f {
  return mat4x4f(capped(products[0]), capped(products[1]), capped(products[2]), capped(products[3]));
}

// Sums + w^T times rows of a source, for one chunk.
fn add_rows(
  source: u32, sums: Columns, w: mat4x4f, rows: vec2u, step: u32, count: u32, chunk: u32, id: vec3u, lane: u32
) -> Columns {
  workgroupBarrier(); // the tile and what is shared may still be read
  stage(source, rows, step, chunk, lane);
  return accumulate(sums, w, count, id);
}

// Products of four owned rows of one source with the 32 tiled rows of another. The head's first chunk stays staged.
fn block_products(own: u32, own_rows: vec4u, other: u32, rows: vec2u, step: u32, id: vec3u, lane: u32) -> mat4x4f {
  var sums = mat4x4f();
  for (var left = (DV + WIDTH - 1u) / WIDTH; left > 0u; left--) {
    workgroupBarrier(); // the tile may still be read
    stage(other, rows, step, left - 1u, lane);
    workgroupBarrier();
    sums += products(own, own_rows, left - 1u, id.x);
  }
  return sums;
}

@compute @workgroup_size(8, 8)
fn backward_query(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_id) id: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let first = (grid.x - 1u - group.x) * BLOCK; // longest first, as in the forward pass
  let head = group.y;
  let batch = group.z;
  let kv_head = head / (params.heads / params.kv_heads);
  let row = row_of(batch);
  let real = tokens_of(row);
  let span = key_span(batch, row, first, min(first + BLOCK, real.y));
  let last_key_row = key_row(batch, max(span.y, 1u) - 1u, kv_head);
  let own = first + 4u * id.y + vec4u(0u, 1u, 2u, 3u);
  let seen = keys_of_four(batch, row, own);
  let safe = nearest(own, real);
  let rows = (batch * params.queries + safe) * params.heads + head;
  let s_at = (batch * params.heads + head) * params.queries + safe;
  let stats4 = transpose(mat4x2f(stats[s_at.x], stats[s_at.y], stats[s_at.z], stats[s_at.w]));
  var dq0 = Columns();
  var dq1 = Columns();
  var dq2 = Columns();
  var dq3 = Columns();
  for (var key = span.x; key < span.y; key += BLOCK) {
    let key_rows = vec2u(key_row(batch, key, kv_head), last_key_row);
    let count = min(BLOCK, span.y - key);
    let dp = block_products(DO, rows, V, key_rows, params.kv_heads, id, lane);
    let product = block_products(Q, rows, K, key_rows, params.kv_heads, id, lane);
    let s = capped_all(product);
    let j = key + id.x + vec4u(0u, 8u, 16u, 24u);
    let p = mat4x4f(
      probability(s[0], stats4[0], sees(seen, j.x)), probability(s[1], stats4[0], sees(seen, j.y)),
      probability(s[2], stats4[0], sees(seen, j.z)), probability(s[3], stats4[0], sees(seen, j.w))
    );
    let d = stats4[1];
    let ds = mat4x4f(
      slope(p[0], s[0], dp[0], d), slope(p[1], s[1], dp[1], d), slope(p[2], s[2], dp[2], d), slope(p[3], s[3], dp[3], d)
    );
    dq0 = accumulate(dq0, ds, count, id);
    if (DV > 16u) { dq1 = add_rows(K, dq1, ds, key_rows, params.kv_heads, count, 1u, id, lane); }
    if (DV > 32u) { dq2 = add_rows(K, dq2, ds, key_rows, params.kv_heads, count, 2u, id, lane); }
    if (DV > 48u) { dq3 = add_rows(K, dq3, ds, key_rows, params.kv_heads, count, 3u, id, lane); }
  }
  let whole = vec4f(1.0); // weights of padding are 0, and so are their sums
  let count = min(4u, max(params.queries, own.x) - own.x);
  let out = query_row(batch, own.x, head);
  store_columns(Q, out, params.heads, count, dq0, whole, 0u, id.x);
  if (DV > 16u) { store_columns(Q, out, params.heads, count, dq1, whole, 1u, id.x); }
  if (DV > 32u) { store_columns(Q, out, params.heads, count, dq2, whole, 2u, id.x); }
  if (DV > 48u) { store_columns(Q, out, params.heads, count, dq3, whole, 3u, id.x); }
}

@compute @workgroup_size(8, 8)
fn backward_key(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) id: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let first = group.x * BLOCK;
  let kv_head = group.y;
  let batch = group.z;
  let heads = params.heads / params.kv_heads;
  let row = row_of(batch);
  let span = query_span(batch, row, first, min(first + BLOCK, row.end));
  let own = first + 4u * id.y + vec4u(0u, 1u, 2u, 3u);
  let seen = queries_of_four(batch, row, own);
  let safe = nearest(own, vec2u(row.first, row.end));
  let rows = (batch * params.key_stride + safe) * params.kv_heads + kv_head;
  var dk0 = Columns();
  var dk1 = Columns();
  var dk2 = Columns();
  var dk3 = Columns();
  var dv0 = Columns();
  var dv1 = Columns();
  var dv2 = Columns();
  var dv3 = Columns();
  for (var head = kv_head * heads; head < (kv_head + 1u) * heads; head++) {
    let last_row = query_row(batch, max(span.y, 1u) - 1u, head);
    for (var query = span.x; query < span.y; query += BLOCK) {
      let query_rows = vec2u(query_row(batch, query, head), last_row);
      let count = min(BLOCK, span.y - query);
      let product = block_products(K, rows, Q, query_rows, params.heads, id, lane);
      let dp = block_products(V, rows, DO, query_rows, params.heads, id, lane);
      let s = capped_all(product);
      let i = query + id.x + vec4u(0u, 8u, 16u, 24u);
      let stat = (batch * params.heads + head) * params.queries + min(i, vec4u(span.y - 1u));
      let a = stats[stat.x];
      let b = stats[stat.y];
      let c = stats[stat.z];
      let d = stats[stat.w];
      let p = mat4x4f(
        probability(s[0], a.xxxx, sees(seen, i.x)), probability(s[1], b.xxxx, sees(seen, i.y)),
        probability(s[2], c.xxxx, sees(seen, i.z)), probability(s[3], d.xxxx, sees(seen, i.w))
      );
      let ds = mat4x4f(
        slope(p[0], s[0], dp[0], a.yyyy), slope(p[1], s[1], dp[1], b.yyyy),
        slope(p[2], s[2], dp[2], c.yyyy), slope(p[3], s[3], dp[3], d.yyyy)
      );
      dv0 = accumulate(dv0, p, count, id);
      if (DV > 16u) { dv1 = add_rows(DO, dv1, p, query_rows, params.heads, count, 1u, id, lane); }
      if (DV > 32u) { dv2 = add_rows(DO, dv2, p, query_rows, params.heads, count, 2u, id, lane); }
      if (DV > 48u) { dv3 = add_rows(DO, dv3, p, query_rows, params.heads, count, 3u, id, lane); }
      dk0 = add_rows(Q, dk0, ds, query_rows, params.heads, count, 0u, id, lane);
      if (DV > 16u) { dk1 = add_rows(Q, dk1, ds, query_rows, params.heads, count, 1u, id, lane); }
      if (DV > 32u) { dk2 = add_rows(Q, dk2, ds, query_rows, params.heads, count, 2u, id, lane); }
      if (DV > 48u) { dk3 = add_rows(Q, dk3, ds, query_rows, params.heads, count, 3u, id, lane); }
    }
  }
  let whole = vec4f(1.0);
  let count = min(4u, max(params.key_stride, own.x) - own.x);
  let out = key_row(batch, own.x, kv_head);
  store_columns(K, out, params.kv_heads, count, dk0, whole, 0u, id.x);
  store_columns(V, out, params.kv_heads, count, dv0, whole, 0u, id.x);
  if (DV > 16u) { store_columns(K, out, params.kv_heads, count, dk1, whole, 1u, id.x); }
  if (DV > 16u) { store_columns(V, out, params.kv_heads, count, dv1, whole, 1u, id.x); }
  if (DV > 32u) { store_columns(K, out, params.kv_heads, count, dk2, whole, 2u, id.x); }
  if (DV > 32u) { store_columns(V, out, params.kv_heads, count, dv2, whole, 2u, id.x); }
  if (DV > 48u) { store_columns(K, out, params.kv_heads, count, dk3, whole, 3u, id.x); }
  if (DV > 48u) { store_columns(V, out, params.kv_heads, count, dv3, whole, 3u, id.x); }
}
