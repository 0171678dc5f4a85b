// find: slots[n] = the j with tokens[j] = ids[n], else 2³² − 1; add: y[m, tokens[j]] += x[m, j]; take: x[m, j] = y[m, tokens[j]]
// One invocation an id, or an element of x `[M, count]`; workgroups beyond 65535 fold into grid y.
struct Params { ids: u32, elements: u32, count: u32, cols: u32 } // count: of tokens; cols: of y

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tokens: array<u32>;          // [count], each once
@group(0) @binding(2) var<storage, read> ids: array<u32>;             // [N]
@group(0) @binding(3) var<storage, read_write> slots: array<u32>;     // [N]
@group(0) @binding(4) var<storage, read> x: array<f32>;               // [M, count]
@group(0) @binding(5) var<storage, read_write> y: array<f32>;         // [M, cols]
@group(0) @binding(6) var<storage, read> wide: array<f32>;            // [M, cols]
@group(0) @binding(7) var<storage, read_write> narrow: array<f32>;    // [M, count]

const ACCUMULATE: bool = false; // add to narrow instead of overwriting it
const WG: u32 = 64u;

fn index(group: vec3u, grid: vec3u, lane: u32) -> u32 {
  return (group.y * grid.x + group.x) * WG + lane;
}

@compute @workgroup_size(WG)
fn find(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let n = index(group, grid, lane);
  if (n >= params.ids) { return; }
  let id = ids[n];
  var slot = 0xffffffffu;
  for (var j = 0u; j < params.count; j++) {
    if (tokens[j] == id) { slot = j; }
  }
  slots[n] = slot;
}

@compute @workgroup_size(WG)
fn add(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let i = index(group, grid, lane);
  if (i >= params.elements) { return; }
  y[i / params.count * params.cols + tokens[i % params.count]] += x[i];
}

@compute @workgroup_size(WG)
fn take(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let i = index(group, grid, lane);
  if (i >= params.elements) { return; }
  let value = wide[i / params.count * params.cols + tokens[i % params.count]];
  if (ACCUMULATE) { narrow[i] += value; } else { narrow[i] = value; }
}
