enable subgroups;
// dv = P^T do,  ds = P * (do v^T - D),  dq = scale ds k,  dk = scale ds^T q: attention-backward.wgsl in a subgroup
// One subgroup per 8 owned rows, of the tensor whose gradient TARGET names; a lane computes their weights with 4 rows of
// the other side (keys for dq, queries for dk and dv), then 4 columns of the gradient a pass. D is a multiple of 4.
// #import "common/attention.wgsl"
// #import "common/attention-subgroup.wgsl"
@group(0) @binding(5) var<storage, read> d_o: array<vec4f>;      // [B, T, H, D]
@group(0) @binding(6) var<storage, read> stats: array<vec2f>;    // [B, H, T] of (logsumexp, D)
@group(0) @binding(7) var<storage, read_write> d: array<vec4f>;  // like the tensor that TARGET names

const TARGET: u32 = 0u;                // Q, K or V
const BY_QUERY: bool = TARGET == 0u;   // the owned rows are queries

fn load(source: u32, row: u32, column: u32) -> vec4f {
  if (source == Q) { return load_q(row, column); }
  if (source == K) { return load_k(row, column); }
  if (source == V) { return load_v(row, column); }
  return d_o[row * DV + column];
}

fn put(i: u32, value: vec4f) {
  d[i] = value;
}

// Statistics of the queries on one side, by four in components: logsumexp, D.
struct Stats { logsum: vec4f, d: vec4f }

fn load_stats(at: u32, queries: vec4u, last: u32) -> Stats {
  let i = at + min(queries, vec4u(last));
  let s = transpose(mat4x2f(stats[i.x], stats[i.y], stats[i.z], stats[i.w]));
  return Stats(s[0], s[1]);
}

// Weights of four owned rows (components) with one row of the other side.
fn weigh(s: vec4f, dp: vec4f, own: vec4u, own_end: u32, other: u32, other_end: u32, logsum: vec4f, d: vec4f) -> vec4f {
  let inside = (own < vec4u(own_end)) & vec4<bool>(other < other_end);
  let queries = params.past + select(vec4u(other), own, BY_QUERY);
  let keys = select(own, vec4u(other), BY_QUERY);
  let capped_s = capped(s);
  let p = probability(capped_s, logsum, sees(queries, keys) & inside);
  if (TARGET == V) { return p; }
  return slope(p, capped_s, dp, d);
}

// Weights of one group of owned rows with this lane's columns; `stat` is theirs where they are queries, else of the lane's columns.
fn weigh_group(rows: mat4x4f, d_rows: mat4x4f, first: u32, ends: vec2u, other: u32, stat: Stats) -> mat4x4f {
  let s = transpose(rows);
  let dp = transpose(d_rows);
  let own = first + vec4u(0u, 1u, 2u, 3u);
  let a = stat.logsum;
  let b = stat.d;
  let query = vec4<bool>(BY_QUERY);
  let w0 = weigh(s[0], dp[0], own, ends.x, other, ends.y, select(a.xxxx, a, query), select(b.xxxx, b, query));
  let w1 = weigh(s[1], dp[1], own, ends.x, other + 1u, ends.y, select(a.yyyy, a, query), select(b.yyyy, b, query));
  let w2 = weigh(s[2], dp[2], own, ends.x, other + 2u, ends.y, select(a.zzzz, a, query), select(b.zzzz, b, query));
  let w3 = weigh(s[3], dp[3], own, ends.x, other + 3u, ends.y, select(a.wwww, a, query), select(b.wwww, b, query));
  return transpose(mat4x4f(w0, w1, w2, w3));
}

// Queries [x, y) that see any of the keys [first, last).
fn query_span(batch: u32, first: u32, last: u32) -> vec2u {
  var span = vec2u(0u, query_end(batch));
  if (CAUSAL) { span.x = max(first, params.past) - params.past; }
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
  var sums = Rows();
  for (var head = first_head; head < last_head; head++) {
    let query_base = query_row(batch, 0u, head);
    let key_base = key_row(batch, 0u, kv_head);
    let base = select(key_base, query_base, BY_QUERY);
    let step = select(params.kv_heads, params.heads, BY_QUERY);
    let other_base = select(query_base, key_base, BY_QUERY);
    let other_step = select(params.heads, params.kv_heads, BY_QUERY);
    let stat_at = (batch * params.heads + head) * params.queries;
    let own = base + first * step;
    let own_last = base + last_own * step;
    var own_a = vec2f(); // statistics of the owned rows, where they are queries: rows lane and 4 + lane
    var own_b = vec2f();
    if (BY_QUERY) {
      own_a = stats[stat_at + min(first + lane % ROWS, last_own)];
      own_b = select(own_a, stats[stat_at + min(first + 4u + lane % ROWS, last_own)], SG == 4u);
    }
    for (var other = span.x; other < span.y; other += OTHERS) {
      let mine = other + 4u * lane + vec4u(0u, 1u, 2u, 3u);
      let rows = other_base + min(mine, vec4u(last_other)) * other_step;
      let s = products(select(K, Q, BY_QUERY), own, step, own_last, select(Q, K, BY_QUERY), rows, lane);
      var dp = Block();
      if (TARGET != V) {
        dp = products(select(V, DO, BY_QUERY), own, step, own_last, select(DO, V, BY_QUERY), rows, lane);
      }
      let ends = vec2u(own_end, span.y);
      var stat0 = Stats(rows0(own_a.x), rows0(own_a.y));
      var stat1 = Stats(rows1(own_b.x), rows1(own_b.y));
      if (!BY_QUERY) {
        stat0 = load_stats(stat_at, mine, last_other);
        stat1 = stat0;
      }
      let w0 = weigh_group(s.g0, dp.g0, first, ends, mine.x, stat0);
      let w1 = weigh_group(s.g1, dp.g1, first + 4u, ends, mine.x, stat1);
      let source = select(select(DO, Q, TARGET == K), K, BY_QUERY);
      let row = other_base + other * other_step;
      let last_row = other_base + last_other * other_step;
      sums = accumulate(sums, Block(w0, w1), source, row, other_step, last_row, min(OTHERS, span.y - other), lane);
    }
  }
  let one = vec4f(1.0);
  let out = select(key_row(batch, first, kv_head), query_row(batch, first, first_head), BY_QUERY);
  let rows = select(params.key_stride, params.queries, BY_QUERY);
  // Weights of rows past the end are 0, and so are their sums.
  store_rows(sums, mat2x4f(one, one), out, select(params.kv_heads, params.heads, BY_QUERY), min(ROWS, rows - first), lane);
}
