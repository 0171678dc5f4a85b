// index[row] = argmax of x[row], the lowest index among equals as in torch.argmax; NONE where an element is NaN or +inf,
// or all are -inf. One workgroup per row; rows beyond 65535 fold into grid y.
struct Params { rows: u32, cols: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;            // [rows, cols], the bits of f32 values
@group(0) @binding(2) var<storage, read_write> index: array<u32>;  // [rows]

const WG: u32 = 256u;
// #import "common/rank.wgsl"

var<workgroup> best_rank: array<u32, WG>;
var<workgroup> best_index: array<u32, WG>;

@compute @workgroup_size(WG)
fn argmax(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let row = group.y * grid.x + group.x;
  if (row >= params.rows) { return; }
  let base = row * params.cols;
  var at = min(lane, params.cols - 1u);
  var rank = rank_of(x[base + at]);
  for (var i = lane + WG; i < params.cols; i += WG) {
    let candidate = rank_of(x[base + i]);
    if (candidate > rank) {
      rank = candidate;
      at = i;
    }
  }
  best_rank[lane] = rank;
  best_index[lane] = at;
  for (var stride = WG / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane < stride) {
      let other = best_rank[lane + stride];
      let other_at = best_index[lane + stride];
      if (other > best_rank[lane] || (other == best_rank[lane] && other_at < best_index[lane])) {
        best_rank[lane] = other;
        best_index[lane] = other_at;
      }
    }
  }
  if (lane == 0u) { index[row] = select(best_index[0], NONE, is_broken(best_rank[0])); }
}
