// o = softmax(scale q k^T + mask) v for one query a sequence: the decoding step
// One workgroup per head. Invocations share out the keys of a block for the scores, then the columns of v times groups
// of keys for the weighted sum; maximum and sums are combined through workgroup memory. T is 1.
// #import "common/attention.wgsl"
@group(0) @binding(5) var<storage, read_write> o: array<f32>; // [B, 1, H, D]
@group(0) @binding(6) var<storage, read> sinks: array<f32>;   // [H], where there are any
// #import "common/attention-totals.wgsl"

const WG: u32 = 64u;
const KEYS: u32 = 1024u;     // a block; few, long blocks amortise the reductions
const COLUMNS: u32 = 16u;    // a power of two from DV to 64
const GROUPS: u32 = WG / COLUMNS;
// #import "common/reduce.wgsl"

var<workgroup> weights: array<f32, KEYS>;
var<workgroup> sums: array<vec4f, WG>;

fn product(q_row: u32, k_row: u32) -> f32 {
  var sum = vec4f();
  for (var column = 0u; column < params.vectors; column++) {
    sum += load_q(q_row, column) * load_k(k_row, column);
  }
  return dot(sum, vec4f(1.0));
}

@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let batch = group.y;
  let kv_head = head / (params.heads / params.kv_heads);
  let span = keys_of(batch, row_of(batch), 0u);
  let row = query_row(batch, 0u, head);
  let column = lane % COLUMNS;
  var m = LEAST;
  var l = 0.0;
  var sum = vec4f();
  for (var key = span.x; key < span.y; key += KEYS) {
    let count = min(KEYS, span.y - key);
    var own = LEAST;
    for (var j = lane; j < count; j += WG) {
      let s = capped(vec4f(product(row, key_row(batch, key + j, kv_head)))).x;
      weights[j] = s;
      own = max(own, s);
    }
    let top = max(m, workgroup_max(own, lane));
    let shrink = exp(m - top);
    m = top;
    l *= shrink;
    for (var j = lane; j < count; j += WG) {
      let p = exp(weights[j] - top);
      weights[j] = p;
      l += p;
    }
    workgroupBarrier();
    sum *= shrink;
    if (column < DV) {
      for (var j = lane / COLUMNS; j < count; j += GROUPS) {
        sum += weights[j] * load_v(key_row(batch, key + j, kv_head), column);
      }
    }
    workgroupBarrier(); // the weights are still being read
  }
  sums[lane] = sum;
  let total = workgroup_sum(l, lane);
  if (lane >= DV) { return; }
  for (var i = lane + COLUMNS; i < WG; i += COLUMNS) {
    sum += sums[i];
  }
  sum *= totals(vec4f(m), vec4f(total), head).factors;
  let i = row * HEAD_DIM + 4u * lane;
  o[i] = sum.x;
  if (4u * lane + 1u < HEAD_DIM) { o[i + 1u] = sum.y; }
  if (4u * lane + 2u < HEAD_DIM) { o[i + 2u] = sum.z; }
  if (4u * lane + 3u < HEAD_DIM) { o[i + 3u] = sum.w; }
}
