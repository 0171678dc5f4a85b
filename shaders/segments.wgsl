// sums: y[s] = factor[s] * sum of x[i] for first[s] <= i < end[s];  spread: dx[i] = sum over the segments s that hold i of factor[s] * dy[s]
// One workgroup per segment for sums, one invocation per value for spread. x is a window of the values, from `start` on.
struct Params { segments: u32, start: u32, count: u32 } // count: values of the window

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;            // [count]
@group(0) @binding(2) var<storage, read> ranges: array<u32>;       // [segments, 2]: first and end, of all values
@group(0) @binding(3) var<storage, read> factors: array<f32>;      // [segments]
@group(0) @binding(4) var<storage, read_write> y: array<f32>;      // [segments]
@group(0) @binding(5) var<storage, read> dy: array<f32>;           // [segments]
@group(0) @binding(6) var<storage, read_write> dx: array<f32>;     // [count]

const WG: u32 = 64u;
const ACCUMULATE: bool = false; // add to the output instead of overwriting it
// #import "common/reduce.wgsl"

@compute @workgroup_size(WG)
fn sums(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let segment = group.y * grid.x + group.x;
  let at = min(segment, params.segments - 1u);
  let first = max(ranges[2u * at], params.start);
  let end = min(ranges[2u * at + 1u], params.start + params.count);
  var sum = 0.0;
  for (var i = first + lane; i < end; i += WG) { sum += x[i - params.start]; }
  let all = factors[at] * workgroup_sum(sum, lane);
  if (lane > 0u || segment >= params.segments) { return; }
  if (ACCUMULATE) { y[segment] += all; } else { y[segment] = all; }
}

@compute @workgroup_size(WG)
fn spread(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let i = (group.y * grid.x + group.x) * WG + lane;
  if (i >= params.count) { return; }
  let at = params.start + i;
  var sum = 0.0;
  for (var s = 0u; s < params.segments; s++) {
    if (ranges[2u * s] <= at && at < ranges[2u * s + 1u]) { sum += factors[s] * dy[s]; }
  }
  if (ACCUMULATE) { dx[i] += sum; } else { dx[i] = sum; }
}
