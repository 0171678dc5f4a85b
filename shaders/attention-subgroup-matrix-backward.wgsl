enable chromium_experimental_subgroup_matrix;
enable f16;
enable subgroups;
// With P = exp(s - logsumexp), D = rowsum(do * o):  dv = P^T do,  ds = P * (do v^T - D),  dq = scale ds k,  dk = scale ds^T q
// On matrix units: q, k, v, do, P and ds are rounded to `unit`, all else is f32. A workgroup owns queries of a head (BY_QUERY), or keys
// of a kv head, and visits what they meet OTHERS rows at a time. Gradients may be too small for f16: do is multiplied by a power
// of two, `lift`, that brings the largest of its values that the workgroup meets to between 1 and 2.
// FlashAttention-2, Dao 2023, arXiv 2307.08691, algorithm 2.
diagnostic(off, chromium.subgroup_matrix_uniformity); // each subgroup has fragments of its own
// #import "common/attention.wgsl"
@group(0) @binding(5) var<storage, read> d_o: array<cell>;           // [B, T, H, D]
@group(0) @binding(6) var<storage, read> stats: array<vec2f>;        // [B, H, T] of (logsumexp, D)
@group(0) @binding(7) var<storage, read_write> d_own: array<stored>; // dq like q, or dk like k: what the workgroup owns
@group(0) @binding(8) var<storage, read_write> dv: array<stored>;    // like v; written with dk

alias stored = f32;          // one value of a cell
const BY_QUERY: bool = true;
// #import "common/attention-fragments.wgsl"
// #opaque
// #import "common/attention-matrix-tile.wgsl"
// q and do, or k and v, of what is owned; k and v, or q and do, of the others, in rows and column by column.
const OWN_B: u32 = OWN * ALONG;
const A_AT: u32 = 2u * OWN * ALONG;
const B_AT: u32 = A_AT + OTHERS * ALONG;
const SIDES: u32 = select(2u, 1u, BY_QUERY); // sums that are made: dq, or dk and dv
const DS_AT: u32 = A_AT; // ds and P lie where the others' rows were
const P_AT: u32 = A_AT + OWN * ACROSS;
const A_COLUMNS: u32 = A_AT + max(2u * OTHERS * ALONG, SIDES * OWN * ACROSS);
const B_COLUMNS: u32 = A_COLUMNS + HEAD_DIM * ACROSS;
const HALVES: u32 = A_COLUMNS + SIDES * HEAD_DIM * ACROSS;
var<workgroup> halves: array<unit, HALVES>;
var<workgroup> peak: atomic<u32>; // bits of the largest value of do
const FOURS: u32 = PART / 4u;

var<private> a_next: array<Block, BLOCKS>;
var<private> b_next: array<Block, BLOCKS>;

// The block of others at `first`, of which `last` is the last one, for one query head.
struct Visit { head: u32, first: u32, last: u32 }

fn fetch(lane: u32, batch: u32, kv_head: u32, visit: Visit) {
  for (var i = 0u; i < BLOCKS; i++) {
    let at = place_of(lane + i * INVOCATIONS);
    for (var row = 0u; row < 4u; row++) {
      let other = min(visit.first + at.x + row, visit.last);
      if (BY_QUERY) {
        let source = key_row(batch, other, kv_head) * DV + at.y;
        a_next[i][row] = k[source];
        b_next[i][row] = v[source];
      } else {
        let source = query_row(batch, other, visit.head) * DV + at.y;
        a_next[i][row] = q[source];
        b_next[i][row] = d_o[source];
      }
    }
  }
}

fn largest(values: vec4f) -> f32 {
  let sizes = abs(values);
  return max(max(sizes.x, sizes.y), max(sizes.z, sizes.w));
}

// Of do, of the queries from `first` on of a head, that this invocation looks at.
fn largest_of(lane: u32, batch: u32, head: u32, first: u32, end: u32) -> f32 {
  var size = 0.0;
  for (var i = lane; i < (max(first, end) - first) * DV; i += INVOCATIONS) {
    size = max(size, largest(vec4f(d_o[query_row(batch, first + i / DV, head) * DV + i % DV])));
  }
  return size;
}

// The power of two that brings what has these bits to between 1 and 2.
fn lift_of(bits: u32) -> f32 { return bitcast<f32>((254u - min(bits >> 23u, 253u)) << 23u); }

fn stage(lane: u32, lift: f32) {
  for (var i = 0u; i < BLOCKS; i++) {
    let at = place_of(lane + i * INVOCATIONS);
    if (at.x < OTHERS) {
      let a = vectors(a_next[i], 1.0);
      let b = vectors(b_next[i], select(lift, 1.0, BY_QUERY));
      put_rows(A_AT, at, a);
      put_columns(A_COLUMNS, at, a);
      put_rows(B_AT, at, b);
      if (!BY_QUERY) { put_columns(B_COLUMNS, at, b); }
    }
  }
}

// Vector i of what is owned, of its two tensors; what lies in the padding may be NaN.
fn own_vector(i: u32, batch: u32, head: u32, first: u32, real: vec2u, second: bool) -> vec4f {
  let row = min(max(first + i / DV, real.x), max(real.y, 1u) - 1u);
  if (BY_QUERY) {
    let source = query_row(batch, row, head) * DV + i % DV;
    if (second) { return vec4f(d_o[source]); }
    return vec4f(q[source]);
  }
  let source = key_row(batch, row, head) * DV + i % DV;
  if (second) { return vec4f(v[source]); }
  return vec4f(k[source]);
}

struct Four { logsum: vec4f, d: vec4f }

// Statistics of the queries of four products: the row's own, or those of four columns.
fn stats_of(own: vec2f, base: u32, first: u32, last: u32) -> Four {
  if (BY_QUERY) { return Four(own.xxxx, own.yyyy); }
  let at = base + min(first + vec4u(0u, 1u, 2u, 3u), vec4u(last));
  let all = transpose(mat4x2f(stats[at.x], stats[at.y], stats[at.z], stats[at.w]));
  return Four(all[0], all[1]);
}

@compute @workgroup_size(INVOCATIONS)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let first = select(group.x, grid.x - 1u - group.x, BY_QUERY) * OWN; // the longest first, as in the forward pass
  let batch = group.z;
  let shared_heads = params.heads / params.kv_heads;
  let kv_head = select(group.y, group.y / shared_heads, BY_QUERY);
  let first_head = select(group.y * shared_heads, group.y, BY_QUERY);
  let tokens = row_of(batch);
  let at = own_place(lane);
  let own = first + at.row;
  var real = vec2u(tokens.first, tokens.end);
  var span: vec2u;
  var seen: vec2u;
  var own_stats: vec2f;
  if (BY_QUERY) {
    real = tokens_of(tokens);
    span = key_span(batch, tokens, first, min(first + OWN, real.y));
    seen = keys_of(batch, tokens, own);
    let query = min(max(own, real.x), max(real.y, 1u) - 1u);
    own_stats = stats[(batch * params.heads + group.y) * params.queries + query];
  } else {
    span = query_span(batch, tokens, first, min(first + OWN, real.y));
    seen = queries_of(batch, tokens, own);
  }
  let last = max(span.y, 1u) - 1u;
  let blocks = (max(span.x, span.y) - span.x + OTHERS - 1u) / OTHERS;
  let visits = blocks * select(shared_heads, 1u, BY_QUERY);
  if (lane == 0u) { atomicStore(&peak, 0u); }
  workgroupBarrier();
  var size = 0.0;
  if (BY_QUERY) {
    size = largest_of(lane, batch, group.y, max(first, real.x), min(first + OWN, real.y));
  } else {
    for (var head = first_head; head < first_head + shared_heads; head++) {
      size = max(size, largest_of(lane, batch, head, span.x, span.y));
    }
  }
  atomicMax(&peak, bitcast<u32>(size));
  let lift = lift_of(workgroupUniformLoad(&peak));
  for (var i = lane; i < OWN * DV; i += INVOCATIONS) {
    let place = i / DV * ALONG + i % DV * 4u;
    put(place, own_vector(i, batch, group.y, first, real, false));
    put(OWN_B + place, select(1.0, lift, BY_QUERY) * own_vector(i, batch, group.y, first, real, true));
  }
  fetch(lane, batch, kv_head, Visit(first_head, span.x, last));
  var d_own_sums: Sums;
  var dv_sums: Sums;
  for (var visit = 0u; visit < visits; visit++) {
    let head = first_head + visit / max(blocks, 1u);
    let other = span.x + visit % max(blocks, 1u) * OTHERS;
    workgroupBarrier(); // what was staged before is read
    stage(lane, lift);
    workgroupBarrier();
    let next = min(visit + 1u, visits - 1u);
    fetch(lane, batch, kv_head, Visit(first_head + next / max(blocks, 1u), span.x + next % max(blocks, 1u) * OTHERS, last));
    multiply_rows(at.subgroup, 0u, A_AT);
    workgroupBarrier();
    var s: array<vec4f, FOURS>;
    for (var i = 0u; i < FOURS; i++) { s[i] = capped(staged_products(at.row, at.part + 4u * i)); }
    workgroupBarrier(); // the products are read
    multiply_rows(at.subgroup, OWN_B, B_AT);
    workgroupBarrier(); // the rows, too
    for (var i = 0u; i < FOURS; i++) {
      let column = at.part + 4u * i;
      let others = other + column + vec4u(0u, 1u, 2u, 3u);
      let is_seen = (others >= vec4u(seen.x)) & (others < vec4u(seen.y));
      let known = stats_of(own_stats, (batch * params.heads + head) * params.queries, other + column, last);
      let p = probability(s[i], known.logsum, is_seen);
      let dp = staged_products(at.row, column);
      put(DS_AT + at.row * ACROSS + column, slope(p, s[i], dp, lift * known.d));
      if (!BY_QUERY) { put(P_AT + at.row * ACROSS + column, p); }
    }
    workgroupBarrier();
    add_products(&d_own_sums, at.subgroup, DS_AT, A_COLUMNS);
    if (!BY_QUERY) { add_products(&dv_sums, at.subgroup, P_AT, B_COLUMNS); }
  }
  workgroupBarrier();
  if (BY_QUERY) {
    write_sums(Q, &d_own_sums, at, query_row(batch, own, group.y), own < params.queries, 1.0 / lift);
  } else {
    write_sums(K, &d_own_sums, at, key_row(batch, own, kv_head), own < params.key_stride, 1.0 / lift);
    write_sums(V, &dv_sums, at, key_row(batch, own, kv_head), own < params.key_stride, 1.0 / lift);
  }
}

fn put_value(output: u32, i: u32, value: f32) {
  if (output == V) { dv[i] = stored(value); } else { d_own[i] = stored(value); }
}
