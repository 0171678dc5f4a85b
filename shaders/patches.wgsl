// y[b, (py, px), (c, i, j)] = x[b, c, py P + i, px P + j]: an image as a sequence of P x P patches, im2col for stride P
// Each workgroup goes through a run of elements of the patches. Dosovitskiy et al. 2020, arXiv 2010.11929.
struct Params { count: u32, channels: u32, height: u32, width: u32, side: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;       // [batch, channels, height, width]
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // [batch, patches, channels P P]
@group(0) @binding(3) var<storage, read> dy: array<f32>;      // like y
@group(0) @binding(4) var<storage, read_write> dx: array<f32>; // like x

const ACCUMULATE: bool = false; // add to dx instead of overwriting it
const WG: u32 = 64u;
// #import "common/elements.wgsl"

// Where element i of the patches lies in the images.
fn pixel(i: u32) -> u32 {
  let p = params.side;
  let area = p * p;
  let across = params.width / p;
  let within = i % (params.channels * area);
  let patch_index = i / (params.channels * area);
  let place = patch_index % (across * (params.height / p));
  let image = patch_index / (across * (params.height / p));
  let row = place / across * p + within % area / p;
  let column = place % across * p + within % p;
  return ((image * params.channels + within / area) * params.height + row) * params.width + column;
}

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) { y[i] = x[pixel(i)]; }
}

// A permutation: each pixel is in one patch.
@compute @workgroup_size(WG)
fn backward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let at = pixel(i);
    if (ACCUMULATE) { dx[at] += dy[i]; } else { dx[at] = dy[i]; }
  }
}
