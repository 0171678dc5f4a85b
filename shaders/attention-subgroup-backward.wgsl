enable subgroups;
// dv = P^T do,  ds = P * (do v^T - D),  dq = scale ds k,  dk = scale ds^T q: attention-backward.wgsl in a subgroup
// One subgroup per 16 owned rows: of queries for dq, of keys for dk and dv. A lane computes their weights with 2 rows of
// the other side, then 4 columns of the gradients a pass. D is a multiple of 4.
// #import "common/attention.wgsl"
// #import "common/attention-subgroup.wgsl"
// #import "common/outer-product.wgsl"
@group(0) @binding(5) var<storage, read> d_o: array<vec4f>;      // [B, T, H, D]
@group(0) @binding(6) var<storage, read> stats: array<vec2f>;    // [B, H, T] of (logsumexp, D)
@group(0) @binding(7) var<storage, read_write> d_own: array<vec4f>; // dq, or dk: of what the owned rows are
@group(0) @binding(8) var<storage, read_write> dv: array<vec4f>;    // not written where they are queries

const BY_QUERY: bool = true; // the owned rows are queries

fn load(source: u32, row: u32, column: u32) -> vec4f {
  if (source == Q) { return load_q(row, column); }
  if (source == K) { return load_k(row, column); }
  if (source == V) { return load_v(row, column); }
  return d_o[row * DV + column];
}

fn put(output: u32, i: u32, value: vec4f) {
  if (output == V) { dv[i] = value; } else { d_own[i] = value; }
}

// P of four owned rows with one row of the other side, from the query's logsumexp.
fn weigh(s: vec4f, own: u32, own_end: u32, other: u32, other_end: u32, logsum: vec4f) -> vec4f {
  let rows = own + vec4u(0u, 1u, 2u, 3u);
  let inside = (rows < vec4u(own_end)) & vec4<bool>(other < other_end);
  let queries = params.past + select(vec4u(other), rows, BY_QUERY);
  let keys = select(rows, vec4u(other), BY_QUERY);
  return probability(s, logsum, sees(queries, keys) & inside);
}

// The same for all owned rows from `own`.
fn weigh_all(s: PerRow, own: u32, own_end: u32, other: u32, other_end: u32, logsum: PerRow) -> PerRow {
  return PerRow(
    weigh(s[0], own, own_end, other, other_end, logsum[0]), weigh(s[1], own + 4u, own_end, other, other_end, logsum[1]),
    weigh(s[2], own + 8u, own_end, other, other_end, logsum[2]), weigh(s[3], own + 12u, own_end, other, other_end, logsum[3])
  );
}

fn slope_all(p: PerRow, s: PerRow, dp: PerRow, mean: PerRow) -> PerRow {
  return PerRow(
    slope(p[0], s[0], dp[0], mean[0]), slope(p[1], s[1], dp[1], mean[1]),
    slope(p[2], s[2], dp[2], mean[2]), slope(p[3], s[3], dp[3], mean[3])
  );
}

fn capped_all(s: PerRow) -> PerRow {
  return PerRow(capped(s[0]), capped(s[1]), capped(s[2]), capped(s[3]));
}

fn all_rows(x: f32) -> PerRow {
  return PerRow(vec4f(x), vec4f(x), vec4f(x), vec4f(x));
}

// Queries [x, y) that see any of the keys [first, last).
fn query_span(batch: u32, first: u32, last: u32) -> vec2u {
  let reach = params.past + params.ahead;
  var span = vec2u(max(first, reach) - reach, query_end(batch));
  if (params.window > 0u) { span.y = min(span.y, max(last - 1u + params.window, params.past) - params.past); }
  if (first >= last) { span.y = 0u; }
  return span;
}

@compute @workgroup_size(SG)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(subgroup_invocation_id) lane: u32
) {
  // Longest first under a causal mask: the last queries, the first keys.
  let first = select(group.x, grid.x - 1u - group.x, BY_QUERY) * ROWS;
  let batch = group.z;
  let heads = params.heads / params.kv_heads;
  let kv_head = select(group.y, group.y / heads, BY_QUERY);
  let first_head = select(kv_head * heads, group.y, BY_QUERY);
  let last_head = select(first_head + heads, first_head + 1u, BY_QUERY);
  let own_end = select(key_end(batch), query_end(batch), BY_QUERY);
  let end = min(first + ROWS, own_end);
  let span = select(query_span(batch, first, end), key_span(batch, first, end), BY_QUERY);
  let last_own = max(own_end, 1u) - 1u;
  let last_other = max(span.y, 1u) - 1u;
  let own = min(first + loaded_rows(lane), vec4u(last_own));
  let own_source = select(K, Q, BY_QUERY);
  let own_other = select(V, DO, BY_QUERY); // of the same rows, for dp
  let other_source = select(Q, K, BY_QUERY);
  let other_other = select(DO, V, BY_QUERY);
  let own_step = select(params.kv_heads, params.heads, BY_QUERY);
  let other_step = select(params.heads, params.kv_heads, BY_QUERY);
  let key_base = key_row(batch, 0u, kv_head);
  var sums = Rows();
  var dv_sums = Rows();
  for (var head = first_head; head < last_head; head++) {
    let query_base = query_row(batch, 0u, head);
    let own_base = select(key_base, query_base, BY_QUERY);
    let other_base = select(query_base, key_base, BY_QUERY);
    let own_rows = own_base + own * own_step;
    let stat_at = (batch * params.heads + head) * params.queries;
    var l0 = PerRow(); // logsumexp and D of the queries: of the owned rows, or of each of the lane's two others
    var d0 = PerRow();
    if (BY_QUERY) {
      let of_rows = transpose(mat4x2f(
        stats[stat_at + own.x], stats[stat_at + own.y], stats[stat_at + own.z], stats[stat_at + own.w]
      ));
      l0 = per_row(of_rows[0]);
      d0 = per_row(of_rows[1]);
    }
    var l1 = l0;
    var d1 = d0;
    for (var other = span.x; other < span.y; other += OTHERS) {
      let mine = other + lane + vec2u(0u, SG);
      let near = min(mine, vec2u(last_other));
      if (!BY_QUERY) {
        let a = stats[stat_at + near.x];
        let b = stats[stat_at + near.y];
        l0 = all_rows(a.x);
        l1 = all_rows(b.x);
        d0 = all_rows(a.y);
        d1 = all_rows(b.y);
      }
      let rows = other_base + near * other_step;
      let product = products(own_source, own_rows, other_source, rows);
      let s = Scores(capped_all(product.c0), capped_all(product.c1));
      let p = Scores(
        weigh_all(s.c0, first, own_end, mine.x, span.y, l0), weigh_all(s.c1, first, own_end, mine.y, span.y, l1)
      );
      let stop = min(other + OTHERS, span.y);
      if (!BY_QUERY) { dv_sums = accumulate(dv_sums, p, DO, other_base, other_step, other, stop, lane); }
      let dp = products(own_other, own_rows, other_other, rows);
      let ds = Scores(slope_all(p.c0, s.c0, dp.c0, d0), slope_all(p.c1, s.c1, dp.c1, d1));
      sums = accumulate(sums, ds, other_source, other_base, other_step, other, stop, lane);
    }
  }
  // Weights of rows past the end are 0, and so are their sums.
  let out = select(key_base, query_row(batch, 0u, first_head), BY_QUERY);
  let rows = select(params.key_stride, params.queries, BY_QUERY);
  store_rows(own_source, sums, out, own_step, first, min(first + ROWS, rows), lane);
  if (!BY_QUERY) { store_rows(V, dv_sums, out, own_step, first, min(first + ROWS, rows), lane); }
}
