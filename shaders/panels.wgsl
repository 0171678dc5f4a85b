// texel (((n / SG) step + first) l + p) SG + n % SG = words 4 p .. 4 p + 3 of row n of W [rows, 4 l words]
// One invocation per texel: a panel has SG rows side by side, a texel of each, then their next texels. Rows beyond the last are 0.
struct Params { rows: u32, length: u32, texels: u32, first: u32, step: u32 } // length: texels of a row; first, step: panels

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> w: array<vec4u>;
@group(0) @binding(2) var panels: texture_storage_2d<rgba32uint, write>;

const WG: u32 = 8u;
const SG: u32 = 8u;
const WIDTH: u32 = 4096u; // texels of a line of the texture

@compute @workgroup_size(WG)
fn fill(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let stride = groups.x * WG;
  let panel_size = SG * params.length;
  for (var i = group.x * WG + lane; i < params.texels; i += stride) {
    let row = i / panel_size * SG + i % SG;
    let at = row * params.length + i / SG % params.length;
    var texel = vec4u();
    if (row < params.rows) { texel = w[at]; }
    let to = (i / panel_size * params.step + params.first) * panel_size + i % panel_size;
    textureStore(panels, vec2u(to % WIDTH, to / WIDTH), texel);
  }
}
