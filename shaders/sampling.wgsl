// index[row] = argmax of x[row], the lowest index among equals as in torch.argmax
// One workgroup per row; rows beyond 65535 fold into grid y.
struct Params { rows: u32, cols: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;            // [rows, cols]
@group(0) @binding(2) var<storage, read_write> index: array<u32>;  // [rows]

const WG: u32 = 256u;

var<workgroup> best_value: array<f32, WG>;
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
  var value = x[base + at];
  for (var i = lane + WG; i < params.cols; i += WG) {
    let candidate = x[base + i];
    if (candidate > value) {
      value = candidate;
      at = i;
    }
  }
  best_value[lane] = value;
  best_index[lane] = at;
  for (var stride = WG / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane < stride) {
      let other = best_value[lane + stride];
      let other_at = best_index[lane + stride];
      if (other > best_value[lane] || (other == best_value[lane] && other_at < best_index[lane])) {
        best_value[lane] = other;
        best_index[lane] = other_at;
      }
    }
  }
  if (lane == 0u) { index[row] = best_index[0]; }
}
