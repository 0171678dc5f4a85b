enable subgroups;
// C[r] = A[r / per] op(B of r's expert) + bias of r's expert,  r: a choice of a token; by outer products inside one subgroup
// One subgroup owns 32 choices of one expert x 4 SG columns, as in matmul-subgroup.wgsl: lanes load the rows of A together
// and broadcast them. `few`: a lane owns four columns of one choice, for decoding.
// #import "common/grouped.wgsl"

const SG: u32 = 8u; // lanes of a subgroup, at most 64
const ROWS: u32 = 32u;
const REGISTERS: u32 = (ROWS + SG - 1u) / SG; // vectors that a lane loads of A
// #import "common/weight.wgsl"
// #import "common/weight-vectors.wgsl"
// #import "common/weight-lanes.wgsl"
// #import "common/outer-product.wgsl"

// B(p .. p+3, col .. col+3); column u of the matrix holds row p + u.
fn load_b(start: u32, p: u32, col: u32) -> mat4x4f {
  if (B_TRANSPOSED) { return transpose(decode_columns(p, start + four_columns(col) * params.k + p)); }
  let at = start + p * params.n + min(col, params.n - 4u);
  return mat4x4f(
    decode4(at / 4u), decode4((at + params.n) / 4u), decode4((at + 2u * params.n) / 4u), decode4((at + 3u * params.n) / 4u)
  );
}

@compute @workgroup_size(SG)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let tile = tile_at(group.y, ROWS);
  if (tile.first == tile.end) { return; }
  let start = matrix_of(tile.expert);
  let col = group.x * 4u * SG + 4u * lane;
  hold_table(lane);
  var starts: array<u32, REGISTERS>;
  for (var i = 0u; i < REGISTERS; i++) {
    starts[i] = choice_at(tile, i * SG + lane % ROWS) / params.per * params.k / 4u;
  }
  var c0 = mat4x4f();
  var c1 = mat4x4f();
  var c2 = mat4x4f();
  var c3 = mat4x4f();
  var c4 = mat4x4f();
  var c5 = mat4x4f();
  var c6 = mat4x4f();
  var c7 = mat4x4f();
  var v: array<vec4f, REGISTERS>;
  for (var p = 0u; p < params.k; p += 4u) {
    for (var i = 0u; i < REGISTERS; i++) { v[i] = a[starts[i] + p / 4u]; }
    let w = load_b(start, p, col);
    c0 += product(v[0], w, 0u);
    c1 += product(v[4u / SG], w, 4u % SG);
    c2 += product(v[8u / SG % REGISTERS], w, 8u % SG);
    c3 += product(v[12u / SG % REGISTERS], w, 12u % SG);
    c4 += product(v[16u / SG % REGISTERS], w, 16u % SG);
    c5 += product(v[20u / SG % REGISTERS], w, 20u % SG);
    c6 += product(v[24u / SG % REGISTERS], w, 24u % SG);
    c7 += product(v[28u / SG % REGISTERS], w, 28u % SG);
  }
  let rows = array<vec4f, 32>(
    c0[0], c0[1], c0[2], c0[3], c1[0], c1[1], c1[2], c1[3], c2[0], c2[1], c2[2], c2[3], c3[0], c3[1], c3[2], c3[3],
    c4[0], c4[1], c4[2], c4[3], c5[0], c5[1], c5[2], c5[3], c6[0], c6[1], c6[2], c6[3], c7[0], c7[1], c7[2], c7[3]
  );
  for (var r = tile.first; r < tile.end; r++) {
    put_four(choice_at(tile, r - tile.first), tile.expert, col, rows[r - tile.first]);
  }
}

// sorted holds the choices' experts instead; B is stored [n, k].
@compute @workgroup_size(SG)
fn few(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let choice = group.y;
  let expert = sorted[choice];
  if (expert < params.first || expert >= params.last) { return; }
  let col = (group.x * SG + lane) * 4u;
  let start = matrix_of(expert) + four_columns(col) * params.k;
  let row = choice / params.per * params.k / 4u;
  hold_table(lane);
  var sum = vec4f();
  var x: vec4f;
  for (var p = 0u; p < params.k; p += 4u) {
    if (p % (4u * SG) == 0u) { x = a[row + min(p / 4u + lane, params.k / 4u - 1u)]; }
    sum += subgroupShuffle(x, p / 4u % SG) * decode_columns(p, start + p);
  }
  put_four(choice, expert, col, sum);
}
