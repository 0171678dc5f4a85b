enable subgroups;
// o = softmax(scale q k^T + mask) v,  logsumexp of each row of scores: attention.wgsl by outer products in a subgroup
// One subgroup per 16 queries of a head; a lane computes their scores with 2 keys, then 4 columns of o a pass. Broadcasts
// replace workgroup memory, which is what CPU rasterisers pay for most. D is a multiple of 4.
// #import "common/attention.wgsl"
// #import "common/attention-subgroup.wgsl"
// #import "common/outer-product.wgsl"
@group(0) @binding(5) var<storage, read_write> o: array<cell>;       // [B, T, H, D]
@group(0) @binding(6) var<storage, read_write> logsumexp: array<f32>; // [B, H, T]
@group(0) @binding(7) var<storage, read> sinks: array<f32>;           // [H], where there are any
// #import "common/attention-totals.wgsl"

fn load(source: u32, row: u32, column: u32) -> vec4f {
  if (source == Q) { return load_q(row, column); }
  if (source == K) { return load_k(row, column); }
  return load_v(row, column);
}

fn put(output: u32, i: u32, value: vec4f) {
  o[i] = cell(value);
}

fn masked(s: vec4f, first: vec4f, end: vec4f, key: f32) -> vec4f {
  return select(vec4f(HIDDEN), capped(s), hold(first, end, key));
}

fn masked_all(s: PerRow, seen: Seen16, key: u32) -> PerRow {
  let at = f32(key);
  return PerRow(
    masked(s[0], seen.first[0], seen.end[0], at), masked(s[1], seen.first[1], seen.end[1], at),
    masked(s[2], seen.first[2], seen.end[2], at), masked(s[3], seen.first[3], seen.end[3], at)
  );
}

fn max_all(a: PerRow, b: PerRow) -> PerRow {
  return PerRow(max(a[0], b[0]), max(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]));
}

fn times(a: PerRow, b: PerRow) -> PerRow {
  return PerRow(a[0] * b[0], a[1] * b[1], a[2] * b[2], a[3] * b[3]);
}

fn exp_all(x: PerRow) -> PerRow {
  return PerRow(exp(x[0]), exp(x[1]), exp(x[2]), exp(x[3]));
}

fn swapped(x: PerRow, mask: u32) -> PerRow {
  return PerRow(
    subgroupShuffleXor(x[0], mask), subgroupShuffleXor(x[1], mask), subgroupShuffleXor(x[2], mask), subgroupShuffleXor(x[3], mask)
  );
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
  let row = row_of(batch);
  let real = tokens_of(row);
  let span = key_span(batch, row, first, min(first + ROWS, real.y));
  let own = first + loaded_rows(lane);
  let seen = of_all(keys_of_four(batch, row, own));
  let own_rows = query_row(batch, 0u, head) + nearest(own, real) * params.heads;
  let key_base = key_row(batch, 0u, kv_head);
  let low = vec4f(LEAST);
  var m = PerRow(low, low, low, low);
  var l = PerRow(); // over this lane's keys until the end
  var sums = Rows();
  for (var key = span.x; key < span.y; key += OTHERS) {
    let mine = key + lane + vec2u(0u, SG);
    let s = products(Q, own_rows, K, key_base + min(mine, vec2u(span.y - 1u)) * params.kv_heads);
    let s0 = masked_all(s.c0, seen, mine.x);
    let s1 = masked_all(s.c1, seen, mine.y);
    var top = max_all(s0, s1);
    for (var mask = 1u; mask < SG; mask *= 2u) {
      top = max_all(top, swapped(top, mask));
    }
    top = max_all(top, m);
    let shrink = exp_all(m - top);
    m = top;
    let p = Scores(exp_all(s0 - top), exp_all(s1 - top));
    l = times(l, shrink) + p.c0 + p.c1;
    let stop = min(key + OTHERS, span.y);
    sums = accumulate(rescaled_rows(sums, shrink), p, V, key_base, params.kv_heads, key, stop, lane);
  }
  for (var mask = 1u; mask < SG; mask *= 2u) {
    l += swapped(l, mask);
  }
  let t0 = totals(m[0], l[0], head);
  let t1 = totals(m[1], l[1], head);
  let t2 = totals(m[2], l[2], head);
  let t3 = totals(m[3], l[3], head);
  let factors = PerRow(t0.factors, t1.factors, t2.factors, t3.factors);
  let end = min(first + ROWS, params.queries);
  store_rows(O, rescaled_rows(sums, factors), query_row(batch, 0u, head), params.heads, first, end, lane);
  var logs = PerRow(t0.logsumexp, t1.logsumexp, t2.logsumexp, t3.logsumexp);
  let at = (batch * params.heads + head) * params.queries;
  for (var i = first + lane; i < end; i += SG) {
    logsumexp[at + i] = logs[(i - first) / 4u][(i - first) % 4u];
  }
}
