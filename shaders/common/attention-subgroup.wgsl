// Tiles of one subgroup: 16 owned rows, and four columns a lane. Needs common/attention.wgsl and a function
// load(source, row, column) -> vec4f. Lanes load the owned rows together and broadcast them: no barrier in the products.
const SG: u32 = 8u;                           // lanes of a subgroup, at least 4
const ROWS: u32 = 16u;
const REGISTERS: u32 = (ROWS + SG - 1u) / SG; // owned rows that a lane loads
const OTHERS: u32 = 4u * SG;                  // rows that the owned ones are multiplied with in one step
const PASSES: u32 = (DV + SG - 1u) / SG;      // of SG vectors over a head, at most 4

// Column i of the matrix of group g is owned row 4 g + i, by four columns of this lane.
struct Block { g0: mat4x4f, g1: mat4x4f, g2: mat4x4f, g3: mat4x4f }

// Owned rows 4 g .. 4 g + 3 live in lanes (4 g .. 4 g + 3) mod SG.
fn rows0(x: f32) -> vec4f {
  return vec4f(subgroupBroadcast(x, 0u), subgroupBroadcast(x, 1u), subgroupBroadcast(x, 2u), subgroupBroadcast(x, 3u));
}
fn rows1(x: f32) -> vec4f {
  return vec4f(
    subgroupBroadcast(x, 4u % SG), subgroupBroadcast(x, 5u % SG), subgroupBroadcast(x, 6u % SG), subgroupBroadcast(x, 7u % SG)
  );
}
fn rows2(x: f32) -> vec4f {
  return vec4f(
    subgroupBroadcast(x, 8u % SG), subgroupBroadcast(x, 9u % SG), subgroupBroadcast(x, 10u % SG), subgroupBroadcast(x, 11u % SG)
  );
}
fn rows3(x: f32) -> vec4f {
  return vec4f(
    subgroupBroadcast(x, 12u % SG), subgroupBroadcast(x, 13u % SG), subgroupBroadcast(x, 14u % SG), subgroupBroadcast(x, 15u % SG)
  );
}

fn outer(row: vec4f, w: vec4f) -> mat4x4f {
  return mat4x4f(row.x * w, row.y * w, row.z * w, row.w * w);
}

// sums + A w, where register i of a lane holds four values of A's row i SG + lane.
fn multiply_add(sums: Block, a: array<vec4f, REGISTERS>, w: mat4x4f) -> Block {
  let a0 = a[0];
  let a1 = a[4u / SG];
  let a2 = a[8u / SG];
  let a3 = a[12u / SG];
  return Block(
    sums.g0 + outer(rows0(a0.x), w[0]) + outer(rows0(a0.y), w[1]) + outer(rows0(a0.z), w[2]) + outer(rows0(a0.w), w[3]),
    sums.g1 + outer(rows1(a1.x), w[0]) + outer(rows1(a1.y), w[1]) + outer(rows1(a1.z), w[2]) + outer(rows1(a1.w), w[3]),
    sums.g2 + outer(rows2(a2.x), w[0]) + outer(rows2(a2.y), w[1]) + outer(rows2(a2.z), w[2]) + outer(rows2(a2.w), w[3]),
    sums.g3 + outer(rows3(a3.x), w[0]) + outer(rows3(a3.y), w[1]) + outer(rows3(a3.z), w[2]) + outer(rows3(a3.w), w[3])
  );
}

// Inner products of the owned rows first, first + step, ... (at most last) of a source with this lane's four rows of another.
fn products(own: u32, first: u32, step: u32, last: u32, other: u32, rows: vec4u, lane: u32) -> Block {
  var sums = Block();
  var a: array<vec4f, REGISTERS>;
  for (var c = 0u; c < params.vectors; c++) {
    for (var i = 0u; i < REGISTERS; i++) {
      a[i] = load(own, min(first + (i * SG + lane % ROWS) * step, last), c);
    }
    let w = mat4x4f(load(other, rows.x, c), load(other, rows.y, c), load(other, rows.z, c), load(other, rows.w, c));
    sums = multiply_add(sums, a, transpose(w));
  }
  return sums;
}

// Four rows of a source from `row`, at vector `column`.
fn load_rows(source: u32, row: u32, step: u32, last: u32, column: u32) -> mat4x4f {
  let c = min(column, DV - 1u); // where a head is narrow, spare lanes repeat its last vector
  return mat4x4f(
    load(source, min(row, last), c), load(source, min(row + step, last), c),
    load(source, min(row + 2u * step, last), c), load(source, min(row + 3u * step, last), c)
  );
}

// Lane's part of 16 rows of a head: vectors lane + SG n.
struct Rows { b0: Block, b1: Block, b2: Block, b3: Block }

fn four_rows_of(lane: u32, rows: mat4x4f) -> mat4x4f {
  return mat4x4f(
    subgroupShuffle(rows[0], lane), subgroupShuffle(rows[1], lane), subgroupShuffle(rows[2], lane), subgroupShuffle(rows[3], lane)
  );
}

// What another lane has of a block.
fn block_of(lane: u32, rows: Block) -> Block {
  let g0 = four_rows_of(lane, rows.g0);
  let g1 = four_rows_of(lane, rows.g1);
  let g2 = four_rows_of(lane, rows.g2);
  let g3 = four_rows_of(lane, rows.g3);
  return Block(g0, g1, g2, g3);
}

// sums + weights w, with rows of w as columns.
fn add_weighted(sums: Block, weights: Block, w: mat4x4f) -> Block {
  return Block(sums.g0 + w * weights.g0, sums.g1 + w * weights.g1, sums.g2 + w * weights.g2, sums.g3 + w * weights.g3);
}

// sums + weights times `count` rows of a source: row, row + step, ... (at most last).
fn accumulate(sums: Rows, weights: Block, source: u32, row: u32, step: u32, last: u32, count: u32, lane: u32) -> Rows {
  var b0 = sums.b0;
  var b1 = sums.b1;
  var b2 = sums.b2;
  var b3 = sums.b3;
  for (var j = 0u; 4u * j < count; j++) {
    let at = row + 4u * j * step;
    let a = block_of(j, weights);
    b0 = add_weighted(b0, a, load_rows(source, at, step, last, lane));
    if (PASSES > 1u) { b1 = add_weighted(b1, a, load_rows(source, at, step, last, lane + SG)); }
    if (PASSES > 2u) { b2 = add_weighted(b2, a, load_rows(source, at, step, last, lane + 2u * SG)); }
    if (PASSES > 3u) { b3 = add_weighted(b3, a, load_rows(source, at, step, last, lane + 3u * SG)); }
  }
  return Rows(b0, b1, b2, b3);
}

fn rescaled(rows: mat4x4f, factors: vec4f) -> mat4x4f {
  return mat4x4f(factors.x * rows[0], factors.y * rows[1], factors.z * rows[2], factors.w * rows[3]);
}

// Rows times their factors, a column of `factors` for each group.
fn rescaled_block(rows: Block, factors: mat4x4f) -> Block {
  let g0 = rescaled(rows.g0, factors[0]);
  let g1 = rescaled(rows.g1, factors[1]);
  let g2 = rescaled(rows.g2, factors[2]);
  let g3 = rescaled(rows.g3, factors[3]);
  return Block(g0, g1, g2, g3);
}

// The rows of a block. Indexed by a loop, they cost one store in the code instead of 16: drivers that expand every
// access compile the kernel in a fraction of the time.
fn rows_of(rows: Block) -> array<vec4f, ROWS> {
  return array<vec4f, ROWS>(
    rows.g0[0], rows.g0[1], rows.g0[2], rows.g0[3], rows.g1[0], rows.g1[1], rows.g1[2], rows.g1[3],
    rows.g2[0], rows.g2[1], rows.g2[2], rows.g2[3], rows.g3[0], rows.g3[1], rows.g3[2], rows.g3[3]
  );
}

fn store_block(sums: Block, row: u32, step: u32, count: u32, column: u32) {
  var rows = rows_of(sums);
  if (column >= DV) { return; }
  for (var i = 0u; i < count; i++) {
    put((row + i * step) * DV + column, rows[i]);
  }
}

// Writes the first `count` owned rows, each times its factor: row, row + step, ... of the output.
fn store_rows(sums: Rows, factors: mat4x4f, row: u32, step: u32, count: u32, lane: u32) {
  store_block(rescaled_block(sums.b0, factors), row, step, count, lane);
  if (PASSES > 1u) { store_block(rescaled_block(sums.b1, factors), row, step, count, lane + SG); }
  if (PASSES > 2u) { store_block(rescaled_block(sums.b2, factors), row, step, count, lane + 2u * SG); }
  if (PASSES > 3u) { store_block(rescaled_block(sums.b3, factors), row, step, count, lane + 3u * SG); }
}
