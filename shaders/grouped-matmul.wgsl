// C[r] = A[r / per] op(B of r's expert) + bias of r's expert,  r: a choice of a token; by tiles in workgroup memory
// 16x16 invocations own 64 choices of one expert x 64 columns: half of them stage rows of A, half the expert's matrix. Gale et
// al. 2022, arXiv 2211.15841, without padding. `few`: a row at a time, for decoding.
// #import "common/grouped.wgsl"

const TILE: u32 = 64u;
const QUADS: u32 = TILE / 4u;
const HALVES: u32 = 1u;
const DEPTH: u32 = 32u; // steps of the sum that are staged at a time
const FOURS: u32 = DEPTH / 4u;
const LANES: u32 = 16u; // of `few`, that share a column; a power of two
// #import "common/weight.wgsl"
// #import "common/weight-table.wgsl"
// #import "common/weight-vectors.wgsl"
// #import "common/tile-product.wgsl"

// Four rows of A as they begin, and what is loaded of the four steps from p: column j is step p + j; zero past the end.
fn load_a(starts: vec4u, p: u32) -> mat4x4f {
  let i = (starts + min(p, params.k - 4u)) / 4u;
  return select(0.0, 1.0, p < params.k) * transpose(mat4x4f(a[i.x], a[i.y], a[i.z], a[i.w]));
}

// B(p .. p + 3, col .. col + 3), column j of the matrix being row p + j.
fn load_b(start: u32, p: u32, col: u32) -> mat4x4f {
  if (B_TRANSPOSED) {
    let i = (start + four_columns(col) * params.k + min(p, params.k - 4u)) / 4u;
    return transpose(mat4x4f(decode4(i.x), decode4(i.y), decode4(i.z), decode4(i.w)));
  }
  let steps = min(p + vec4u(0u, 1u, 2u, 3u), vec4u(params.k - 1u));
  let i = (start + steps * params.n + min(col, params.n - 4u)) / 4u;
  return mat4x4f(decode4(i.x), decode4(i.y), decode4(i.z), decode4(i.w));
}

@compute @workgroup_size(16, 16)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) id: vec3u,
  @builtin(local_invocation_index) lane: u32
) {
  let tile = tile_at(group.y, TILE);
  if (tile.first == tile.end) { return; }
  let start = matrix_of(tile.expert);
  let quad = lane % QUADS * 4u;
  let own_steps = lane % 128u / QUADS * 4u;
  var starts: vec4u;
  if (lane < 128u) {
    starts = vec4u(
      choice_at(tile, quad), choice_at(tile, quad + 1u), choice_at(tile, quad + 2u), choice_at(tile, quad + 3u)
    ) / params.per * params.k;
  }
  for (var p = 0u; p < params.k; p += DEPTH) {
    var part: mat4x4f;
    if (lane < 128u) { part = load_a(starts, p + own_steps); }
    else { part = load_b(start, p + own_steps, group.x * TILE + quad); }
    workgroupBarrier(); // the tiles may still be read
    stage(lane, part);
    workgroupBarrier();
    for (var i = 0u; i < FOURS; i++) {
      multiply(i, 0u, id);
      multiply(i, 1u, id);
      multiply(i, 2u, id);
      multiply(i, 3u, id);
    }
  }
  let col = group.x * TILE + 4u * id.x;
  let rows = min(tile.end - tile.first, 4u * id.y + 4u);
  for (var r = 4u * id.y; r < rows; r++) { put_four(choice_at(tile, r), tile.expert, col, c00[r % 4u]); }
}

var<workgroup> partial: array<f32, 64>;

// One column of one choice for each LANES invocations; sorted holds the choices' experts instead. B is stored [n, k].
@compute @workgroup_size(64)
fn few(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let choice = group.y;
  let expert = sorted[choice];
  if (expert < params.first || expert >= params.last) { return; }
  let col = group.x * (64u / LANES) + lane / LANES;
  let length = params.k / 4u;
  let row = choice / params.per * length;
  let start = matrix_of(expert) / 4u + min(col, params.n - 1u) * length;
  var sum = 0.0;
  for (var i = lane % LANES; i < length; i += LANES) { sum += dot(a[row + i], decode4(start + i)); }
  partial[lane] = sum;
  for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane % LANES < stride) { partial[lane] += partial[lane + stride]; }
  }
  if (lane % LANES > 0u || col >= params.n) { return; }
  sum = partial[lane];
  if (BIASED) { sum += bias[expert * params.n + col]; }
  c[choice * params.n + col] = sum;
}
