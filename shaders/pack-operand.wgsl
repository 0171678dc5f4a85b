// texel p of row r % SG of panel r / SG = factor X[row + r, 4 p .. 4 p + 3], 0 beyond X
// A workgroup writes a run of texels of a panel. X is A of a product, or B transposed: matmul-texels.wgsl reads them.
struct Params {
  rows: u32, k: u32, row: u32, // rows and length of X, and the first row
  ld: u32, offset: u32, factor: f32
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<stored>;
@group(0) @binding(2) var<storage, read> x_single: array<single>; // the same buffer
@group(0) @binding(3) var panels: texture_storage_2d<rgba32uint, write>;

alias stored = vec4f;           // vec4<f16> in mixed precision
alias single = f32;             // f16
const SG: u32 = 8u;             // rows of a panel
const TRANSPOSED: bool = false; // X is stored [k, rows]
const WIDTH: u32 = 4096u;       // of a line of the texture
const RUN: u32 = 64u;           // texels of a workgroup's rows

fn load(row: u32, p: u32) -> vec4f {
  if (row >= params.rows) { return vec4f(); }
  if (!TRANSPOSED) { return vec4f(x[(params.offset + row * params.ld + p) / 4u]); }
  let at = p + vec4u(0u, 1u, 2u, 3u);
  let i = params.offset + min(at, vec4u(params.k - 1u)) * params.ld + row;
  let values = vec4f(f32(x_single[i.x]), f32(x_single[i.y]), f32(x_single[i.z]), f32(x_single[i.w]));
  return select(vec4f(), values, at < vec4u(params.k));
}

@compute @workgroup_size(SG)
fn pack(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let length = (params.k + 3u) / 4u;
  let row = group.y * SG + lane;
  let end = min((group.x + 1u) * RUN, length);
  for (var p = group.x * RUN; p < end; p++) {
    let i = (group.y * length + p) * SG + lane;
    textureStore(panels, vec2u(i % WIDTH, i / WIDTH), bitcast<vec4u>(params.factor * load(params.row + row, 4u * p)));
  }
}
