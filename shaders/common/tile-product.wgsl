// Products of two tiles in workgroup memory, which 16x16 invocations stage and multiply. Needs constants TILE, 64 or 128, and of
// it HALVES, QUADS and FOURS as in matmul-tile.wgsl.
// Four steps of the sum, for each of them rows 4 q .. 4 q + 3 of the block of A, q = 16 half + quad; the same for columns of
// B. Steps and halves are constants where they are read, so that one place is computed, and bounded, for all.
alias Steps = array<array<array<vec4f, 16>, HALVES>, 4>;
var<workgroup> a_tile: array<Steps, FOURS>;
var<workgroup> b_tile: array<Steps, FOURS>;

fn stage(lane: u32, part: mat4x4f) {
  let i = lane % 128u / QUADS;
  let half = lane % QUADS / 16u;
  let quad = lane % 16u;
  if (lane < 128u) {
    a_tile[i][0][half][quad] = part[0];
    a_tile[i][1][half][quad] = part[1];
    a_tile[i][2][half][quad] = part[2];
    a_tile[i][3][half][quad] = part[3];
  } else {
    b_tile[i][0][half][quad] = part[0];
    b_tile[i][1][half][quad] = part[1];
    b_tile[i][2][half][quad] = part[2];
    b_tile[i][3][half][quad] = part[3];
  }
}

// Column i of the result: row i, four columns of C wide.
fn outer(rows: vec4f, cols: vec4f) -> mat4x4f {
  return mat4x4f(rows.x * cols, rows.y * cols, rows.z * cols, rows.w * cols);
}

// Sums of an invocation: of the upper and lower half of the block's rows, by the left and right one of its columns.
var<private> c00: mat4x4f;
var<private> c01: mat4x4f;
var<private> c10: mat4x4f;
var<private> c11: mat4x4f;

// Adds the products of step `step` of four `i` of the stage.
fn multiply(i: u32, step: u32, id: vec3u) {
  let rows = a_tile[i][step][0][id.y];
  let cols = b_tile[i][step][0][id.x];
  c00 += outer(rows, cols);
  if (TILE > 64u) {
    let low_rows = a_tile[i][step][HALVES - 1u][id.y];
    let right_cols = b_tile[i][step][HALVES - 1u][id.x];
    c01 += outer(rows, right_cols);
    c10 += outer(low_rows, cols);
    c11 += outer(low_rows, right_cols);
  }
}
