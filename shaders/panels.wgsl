// texel p of row n % SG of panel (n / SG) step + first = words 4 p .. 4 p + 3 of row n of W [rows, 4 l words]
// One invocation per texel. Rows beyond the last are 0. See common/panel-texels.wgsl for where a texel lies.
struct Params { rows: u32, length: u32, texels: u32, first: u32, step: u32 } // length: texels of a row; first, step: panels

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> w: array<vec4u>;
@group(0) @binding(2) var panels: texture_storage_2d<rgba32uint, write>;

const WG: u32 = 8u;
const SG: u32 = 8u;
const GROUP: u32 = 8u; // panels side by side
// #import "common/panel-texels.wgsl"

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
    let panel = i / panel_size * params.step + params.first;
    let to = texel_index(panel, params.length, i % panel_size / SG, i % SG);
    textureStore(panels, vec2u(to % WIDTH, to / WIDTH), texel);
  }
}
