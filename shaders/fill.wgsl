// y[i] = bits
// One invocation per word; workgroups beyond 65535 fold into grid y.
struct Params { count: u32, bits: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(64)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let i = (group.y * grid.x + group.x) * 64u + lane;
  if (i < params.count) { y[i] = params.bits; }
}
