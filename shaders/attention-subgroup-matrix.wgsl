enable chromium_experimental_subgroup_matrix;
enable f16;
enable subgroups;
// o = softmax(scale q k^T + mask) v,  logsumexp of each row of scores, on matrix units: q, k, v and the weights are rounded to
// `unit`; the sums and the softmax are f32. Each of SUBGROUPS subgroups owns FM queries of a head; keys are visited KEYS at a time.
// Fragments have no accessible elements. Scores therefore go through workgroup memory, and the sums of o are scaled down only
// once a row's maximum has grown by SLACK: until then its weights exceed 1, which the division at the end undoes.
// FlashAttention-2, Dao 2023, arXiv 2307.08691, algorithm 1.
diagnostic(off, chromium.subgroup_matrix_uniformity); // each subgroup has fragments of its own
// #import "common/attention.wgsl"
@group(0) @binding(5) var<storage, read_write> o: array<stored>;      // [B, T, H, D]
@group(0) @binding(6) var<storage, read_write> logsumexp: array<f32>; // [B, H, T]
@group(0) @binding(7) var<storage, read> sinks: array<f32>;           // [H], where there are any
// #import "common/attention-totals.wgsl"

alias stored = f32;               // one value of a cell
const SLACK: f32 = 8.0;           // exp(SLACK) is far below f16's largest, and what it costs small weights is far below its least
// #import "common/attention-fragments.wgsl"
// #opaque
// #import "common/attention-matrix-tile.wgsl"
// Queries, keys, and values column by column. Weights lie where the keys were.
const K_AT: u32 = OWN * ALONG;
const V_AT: u32 = K_AT + max(OTHERS * ALONG, OWN * ACROSS);
const HALVES: u32 = V_AT + HEAD_DIM * ACROSS;
var<workgroup> halves: array<unit, HALVES>;
var<workgroup> grown: atomic<u32>; // whether a maximum has grown by SLACK

var<private> k_next: array<Block, BLOCKS>;
var<private> v_next: array<Block, BLOCKS>;

// Has the keys from `key` on, and their values, fetched; past the last, it repeats.
fn fetch(lane: u32, batch: u32, kv_head: u32, key: u32, last: u32) {
  for (var i = 0u; i < BLOCKS; i++) {
    let at = place_of(lane + i * INVOCATIONS);
    for (var row = 0u; row < 4u; row++) {
      let source = key_row(batch, min(key + at.x + row, last), kv_head) * DV + at.y;
      k_next[i][row] = k[source];
      v_next[i][row] = v[source];
    }
  }
}

fn stage(lane: u32) {
  for (var i = 0u; i < BLOCKS; i++) {
    let at = place_of(lane + i * INVOCATIONS);
    if (at.x < OTHERS) {
      put_rows(K_AT, at, vectors(k_next[i], 1.0));
      put_columns(V_AT, at, vectors(v_next[i], 1.0));
    }
  }
}

fn stage_queries(lane: u32, batch: u32, head: u32, first: u32, real: vec2u) {
  for (var i = lane; i < OWN * DV; i += INVOCATIONS) {
    let query = min(max(first + i / DV, real.x), max(real.y, 1u) - 1u); // what lies in the padding may be NaN
    put(i / DV * ALONG + i % DV * 4u, vec4f(q[query_row(batch, query, head) * DV + i % DV]));
  }
}

// Four scores from column `at` of the invocation's row on.
fn scores(row: u32, at: u32, seen: vec2u, key: u32) -> vec4f {
  let keys = key + at + vec4u(0u, 1u, 2u, 3u);
  return select(vec4f(HIDDEN), capped(staged_products(row, at)), (keys >= vec4u(seen.x)) & (keys < vec4u(seen.y)));
}

@compute @workgroup_size(INVOCATIONS)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let first = (grid.x - 1u - group.x) * OWN; // under a causal mask the last queries have most keys: start them first
  let head = group.y;
  let batch = group.z;
  let kv_head = head / (params.heads / params.kv_heads);
  let tokens = row_of(batch);
  let real = tokens_of(tokens);
  let span = key_span(batch, tokens, first, min(first + OWN, real.y));
  let last = max(span.y, 1u) - 1u;
  let at = own_place(lane);
  let query = first + at.row;
  let seen = keys_of(batch, tokens, query);
  stage_queries(lane, batch, head, first, real);
  fetch(lane, batch, kv_head, span.x, last);
  var m = LEAST;
  var l = 0.0; // of this invocation's own keys until the end
  var sums: Sums;
  for (var key = span.x; key < span.y; key += OTHERS) {
    workgroupBarrier(); // what was staged before is read
    stage(lane);
    if (lane == 0u) { atomicStore(&grown, 0u); }
    workgroupBarrier();
    fetch(lane, batch, kv_head, key + OTHERS, last);
    multiply_rows(at.subgroup, 0u, K_AT);
    workgroupBarrier(); // the products are there, and the keys read
    var best = vec4f(LEAST);
    for (var i = 0u; i < OTHERS; i += 4u) { best = max(best, scores(at.row, i, seen, key)); }
    let top = max(max(best.x, best.y), max(best.z, best.w));
    var shrink = 1.0;
    if (top > m + SLACK) {
      if (m > LEAST) { atomicStore(&grown, 1u); }
      shrink = exp(m - top);
      m = top;
    }
    l *= shrink;
    for (var i = at.part; i < at.part + PART; i += 4u) {
      let p = exp(scores(at.row, i, seen, key) - m);
      l += p.x + p.y + p.z + p.w;
      put(K_AT + at.row * ACROSS + i, p);
    }
    if (workgroupUniformLoad(&grown) != 0u) { scale_sums(&sums, at, shrink); } // which is a barrier, too
    add_products(&sums, at.subgroup, K_AT, V_AT);
  }
  workgroupBarrier();
  products[at.row * WIDTH + at.part] = l;
  workgroupBarrier();
  l = 0.0;
  for (var part = 0u; part < PARTS; part++) { l += products[at.row * WIDTH + part * PART]; }
  let end = totals(vec4f(m), vec4f(l), head);
  let isReal = query < params.queries;
  if (isReal && at.part == 0u) {
    logsumexp[(batch * params.heads + head) * params.queries + query] = end.logsumexp.x;
  }
  workgroupBarrier();
  write_sums(O, &sums, at, query_row(batch, query, head), isReal, end.factors.x);
}

fn put_value(output: u32, i: u32, value: f32) {
  o[i] = stored(value);
}
