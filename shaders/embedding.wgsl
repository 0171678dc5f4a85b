// y[n] = table[ids[n]],  and backward: dtable[ids[n]] += dy[n]
// One workgroup per token; tokens beyond 65535 fold into grid y. `table` and `dtable` are one row window of the whole.
struct Params {
  tokens: u32, cols: u32,
  start: u32, end: u32, // rows of the window
  vocab: u32,           // rows of the whole table
  b_first: u32          // values of the table before the window
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> table: array<u32>;        // [end - start, cols], words of common/weight.wgsl
@group(0) @binding(2) var<storage, read> ids: array<u32>;          // [tokens]; a negative i32 is a huge u32
@group(0) @binding(3) var<storage, read_write> y: array<f32>;      // [tokens, cols]
@group(0) @binding(4) var<storage, read> dy: array<f32>;           // [tokens, cols]
@group(0) @binding(5) var<storage, read_write> dtable: array<f32>; // [end - start, cols]
@group(0) @binding(6) var<storage, read> scales: array<u32>;       // of the table's blocks
@group(0) @binding(7) var<storage, read> zeros: array<u32>;

const WG: u32 = 64u;
// #import "common/weight.wgsl"
// #import "common/weight-table.wgsl"
// #import "common/reduce.wgsl"

@compute @workgroup_size(WG)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let token = group.y * grid.x + group.x;
  if (token >= params.tokens) { return; }
  let id = ids[token];
  let base = token * params.cols;
  if (id >= params.start && id < params.end) {
    let first = (id - params.start) * params.cols;
    for (var i = lane; i < params.cols; i += WG) {
      y[base + i] = decode(table[word_of(first + i)], first + i);
    }
  } else if (params.start == 0u && id >= params.vocab) {
    for (var i = lane; i < params.cols; i += WG) { y[base + i] = 0.0; } // no such row
  }
}

// The workgroup of an id's first occurrence owns its row and sums all its tokens: no atomics, a fixed order.
@compute @workgroup_size(WG)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let token = group.y * grid.x + group.x;
  if (token >= params.tokens) { return; }
  let id = ids[token];
  if (id < params.start || id >= params.end) { return; }
  var earlier = 0.0;
  for (var n = lane; n < token; n += WG) {
    if (ids[n] == id) { earlier = 1.0; }
  }
  if (workgroup_max(earlier, lane) > 0.0) { return; }
  let row = (id - params.start) * params.cols;
  for (var n = token; n < params.tokens; n++) {
    if (ids[n] != id) { continue; }
    for (var i = lane; i < params.cols; i += WG) { dtable[row + i] += dy[n * params.cols + i]; }
  }
}
