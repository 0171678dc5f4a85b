enable subgroups;
// dv = P^T do,  ds = P * (do v^T - D),  dq = scale ds k,  dk = scale ds^T q: attention-backward.wgsl in a subgroup
// One subgroup per 16 owned rows: of queries for dq, of keys for dk and dv. A lane computes their weights with 2 rows of
// the other side, then 4 columns of the gradients a pass. D is a multiple of 4.
// #import "common/attention.wgsl"
// #import "common/attention-subgroup.wgsl"
// #import "common/outer-product.wgsl"
@group(0) @binding(5) var<storage, read> d_o: array<cell>;      // [B, T, H, D]
@group(0) @binding(6) var<storage, read> stats: array<vec2f>;    // [B, H, T] of (logsumexp, D)
@group(0) @binding(7) var<storage, read_write> d_own: array<cell>; // dq, or dk: of what the owned rows are
@group(0) @binding(8) var<storage, read_write> dv: array<cell>;    // not written where they are queries

const BY_QUERY: bool = true; // the owned rows are queries

fn load(source: u32, row: u32, column: u32) -> vec4f {
  if (source == Q) { return load_q(row, column); }
  if (source == K) { return load_k(row, column); }
  if (source == V) { return load_v(row, column); }
  return vec4f(d_o[row * DV + column]);
}

fn put(output: u32, i: u32, value: vec4f) {
  if (output == V) { dv[i] = cell(value); } else { d_own[i] = cell(value); }
}

// P of the owned rows with one row of the other side, from the queries' logsumexp.
fn weigh_all(s: PerRow, seen: Seen16, other: u32, logsum: PerRow) -> PerRow {
  let at = f32(other);
  return PerRow(
    probability(s[0], logsum[0], hold(seen.first[0], seen.end[0], at)), probability(s[1], logsum[1], hold(seen.first[1], seen.end[1], at)),
    probability(s[2], logsum[2], hold(seen.first[2], seen.end[2], at)), probability(s[3], logsum[3], hold(seen.first[3], seen.end[3], at))
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
  let row = row_of(batch);
  let real = select(vec2u(row.first, row.end), tokens_of(row), BY_QUERY);
  let end = min(first + ROWS, real.y);
  let loaded = first + loaded_rows(lane);
  let own = nearest(loaded, real);
  var span = vec2u();
  var seen = Seen16();
  if (BY_QUERY) {
    span = key_span(batch, row, first, end);
    seen = of_all(keys_of_four(batch, row, loaded));
  } else {
    span = query_span(batch, row, first, end);
    seen = of_all(queries_of_four(batch, row, loaded));
  }
  let last_other = max(span.y, 1u) - 1u;
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
      let p = Scores(weigh_all(s.c0, seen, mine.x, l0), weigh_all(s.c1, seen, mine.y, l1));
      let stop = min(other + OTHERS, span.y);
      if (!BY_QUERY) { dv_sums = accumulate(dv_sums, p, DO, other_base, other_step, other, stop, lane); }
      let dp = products(own_other, own_rows, other_other, rows);
      let ds = Scores(slope_all(p.c0, s.c0, dp.c0, d0), slope_all(p.c1, s.c1, dp.c1, d1));
      sums = accumulate(sums, ds, other_source, other_base, other_step, other, stop, lane);
    }
  }
  // Weights of padding are 0, and so are its sums.
  let out = select(key_base, query_row(batch, 0u, first_head), BY_QUERY);
  let rows = select(params.key_stride, params.queries, BY_QUERY);
  store_rows(own_source, sums, out, own_step, first, min(first + ROWS, rows), lane);
  if (!BY_QUERY) { store_rows(V, dv_sums, out, own_step, first, min(first + ROWS, rows), lane); }
}
