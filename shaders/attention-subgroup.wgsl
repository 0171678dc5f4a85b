enable subgroups;
// o = softmax(scale q k^T + mask) v,  logsumexp of each row of scores: attention.wgsl by outer products in a subgroup
// One subgroup per 8 queries of a head; a lane computes their scores with 4 keys, then 4 columns of o a pass. Broadcasts
// replace workgroup memory, which is what CPU rasterisers pay for most. D is a multiple of 4.
// #import "common/attention.wgsl"
// #import "common/attention-subgroup.wgsl"
@group(0) @binding(5) var<storage, read_write> o: array<vec4f>;       // [B, T, H, D]
@group(0) @binding(6) var<storage, read_write> logsumexp: array<f32>; // [B, H, T]

const UNSEEN: f32 = 1e30; // logsumexp of a query that sees no key: exp(s - UNSEEN) is 0

fn load(source: u32, row: u32, column: u32) -> vec4f {
  if (source == Q) { return load_q(row, column); }
  if (source == K) { return load_k(row, column); }
  return load_v(row, column);
}

fn put(i: u32, value: vec4f) {
  o[i] = value;
}

fn masked(s: vec4f, positions: vec4u, key: u32, end: u32) -> vec4f {
  return select(vec4f(HIDDEN), capped(s), sees(positions, vec4u(key)) & vec4<bool>(key < end));
}

// Scores of four queries (components) with this lane's four keys (columns).
fn scores(rows: mat4x4f, position: u32, key: u32, end: u32) -> mat4x4f {
  let s = transpose(rows);
  let positions = position + vec4u(0u, 1u, 2u, 3u);
  return mat4x4f(
    masked(s[0], positions, key, end), masked(s[1], positions, key + 1u, end),
    masked(s[2], positions, key + 2u, end), masked(s[3], positions, key + 3u, end)
  );
}

fn top_score(s: mat4x4f, m: vec4f) -> vec4f {
  var top = max(max(s[0], s[1]), max(s[2], s[3]));
  for (var mask = 1u; mask < SG; mask *= 2u) {
    top = max(top, subgroupShuffleXor(top, mask));
  }
  return max(m, top);
}

fn lane_sum(x: vec4f) -> vec4f {
  var sum = x;
  for (var mask = 1u; mask < SG; mask *= 2u) {
    sum += subgroupShuffleXor(sum, mask);
  }
  return sum;
}

fn exp_all(s: mat4x4f, m: vec4f) -> mat4x4f {
  return mat4x4f(exp(s[0] - m), exp(s[1] - m), exp(s[2] - m), exp(s[3] - m));
}

fn column_sum(p: mat4x4f) -> vec4f {
  return p[0] + p[1] + p[2] + p[3];
}

fn reciprocal(l: vec4f) -> vec4f {
  return select(vec4f(), 1.0 / max(l, vec4f(1e-30)), l > vec4f());
}

fn log_sums(m: vec4f, l: vec4f) -> vec4f {
  return select(vec4f(UNSEEN), m + log(max(l, vec4f(1e-30))), l > vec4f());
}

@compute @workgroup_size(SG)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(subgroup_invocation_id) lane: u32
) {
  let first = (grid.x - 1u - group.x) * ROWS; // under a causal mask the last queries have most keys: start them first
  let head = group.y;
  let batch = group.z;
  let kv_head = head / (params.heads / params.kv_heads);
  let queries = query_end(batch);
  let span = key_span(batch, first, min(first + ROWS, queries));
  // Rows past the end are computed from the last one and not stored: what lies there may be NaN.
  let row = query_row(batch, first, head);
  let last_row = query_row(batch, max(queries, 1u) - 1u, head);
  let last_key_row = key_row(batch, max(span.y, 1u) - 1u, kv_head);
  let position = params.past + first;
  let count = min(ROWS, params.queries - first);
  var m = mat2x4f(vec4f(LEAST), vec4f(LEAST)); // column g, component i: row 4 g + i
  var l = mat2x4f(); // of this lane's keys until the end
  var sums = Rows();
  for (var key = span.x; key < span.y; key += OTHERS) {
    let mine = key + 4u * lane;
    let base = key_row(batch, key, kv_head);
    let rows = min(vec4u(base) + (4u * lane + vec4u(0u, 1u, 2u, 3u)) * params.kv_heads, vec4u(last_key_row));
    let s = products(Q, row, params.heads, last_row, K, rows, lane);
    let s0 = scores(s.g0, position, mine, span.y);
    let s1 = scores(s.g1, position + 4u, mine, span.y);
    let top = mat2x4f(top_score(s0, m[0]), top_score(s1, m[1]));
    let shrink = mat2x4f(exp(m[0] - top[0]), exp(m[1] - top[1]));
    m = top;
    let p0 = exp_all(s0, m[0]);
    let p1 = exp_all(s1, m[1]);
    l = mat2x4f(l[0] * shrink[0] + column_sum(p0), l[1] * shrink[1] + column_sum(p1));
    let weights = Block(transpose(p0), transpose(p1));
    sums.b0 = rescaled_block(sums.b0, shrink);
    if (PASSES > 1u) { sums.b1 = rescaled_block(sums.b1, shrink); }
    if (PASSES > 2u) { sums.b2 = rescaled_block(sums.b2, shrink); }
    if (PASSES > 3u) { sums.b3 = rescaled_block(sums.b3, shrink); }
    sums = accumulate(sums, weights, V, base, params.kv_heads, last_key_row, min(OTHERS, span.y - key), lane);
  }
  l = mat2x4f(lane_sum(l[0]), lane_sum(l[1]));
  // Queries in the padding and queries that see nothing give zeros.
  let own = first + vec4u(0u, 1u, 2u, 3u);
  l = mat2x4f(select(vec4f(), l[0], own < vec4u(queries)), select(vec4f(), l[1], own + 4u < vec4u(queries)));
  let factors = mat2x4f(reciprocal(l[0]), reciprocal(l[1]));
  store_rows(sums, factors, row, params.heads, count, lane);
  var logs = array<vec4f, 2>(log_sums(m[0], l[0]), log_sums(m[1], l[1]));
  let at = (batch * params.heads + head) * params.queries + first;
  for (var i = lane; i < count; i += SG) {
    logsumexp[at + i] = logs[i / 4u][i % 4u];
  }
}
