// Tiles of one subgroup: 8 owned rows, and four columns a lane. Needs common/attention.wgsl and functions
// load(source, row, column) -> vec4f and put(index, value). Lanes load the owned rows together and broadcast them: no
// workgroup memory, no barrier. More rows would run faster, but CPU drivers need many seconds to compile them.
const SG: u32 = 8u;                           // lanes of a subgroup, at least 4
const ROWS: u32 = 8u;
const OTHERS: u32 = 4u * SG;                  // rows that the owned ones are multiplied with in one step
const PASSES: u32 = (DV + SG - 1u) / SG;      // of SG vectors over a head, at most 4

// Column i of the matrix of group g is owned row 4 g + i, by four columns of this lane.
struct Block { g0: mat4x4f, g1: mat4x4f }

// Owned row i lives in lane i mod SG.
fn rows0(x: f32) -> vec4f {
  return vec4f(subgroupBroadcast(x, 0u), subgroupBroadcast(x, 1u), subgroupBroadcast(x, 2u), subgroupBroadcast(x, 3u));
}
fn rows1(x: f32) -> vec4f {
  return vec4f(
    subgroupBroadcast(x, 4u % SG), subgroupBroadcast(x, 5u % SG), subgroupBroadcast(x, 6u % SG), subgroupBroadcast(x, 7u % SG)
  );
}

fn outer(row: vec4f, w: vec4f) -> mat4x4f {
  return mat4x4f(row.x * w, row.y * w, row.z * w, row.w * w);
}

// sums + A w, where a lane holds four values of A's row lane, and in `b` of row 4 + lane where a subgroup has 4 lanes.
fn multiply_add(sums: Block, a: vec4f, b: vec4f, w: mat4x4f) -> Block {
  return Block(
    sums.g0 + outer(rows0(a.x), w[0]) + outer(rows0(a.y), w[1]) + outer(rows0(a.z), w[2]) + outer(rows0(a.w), w[3]),
    sums.g1 + outer(rows1(b.x), w[0]) + outer(rows1(b.y), w[1]) + outer(rows1(b.z), w[2]) + outer(rows1(b.w), w[3])
  );
}

// Inner products of the owned rows first, first + step, ... (at most last) of a source with this lane's four rows of another.
fn products(own: u32, first: u32, step: u32, last: u32, other: u32, rows: vec4u, lane: u32) -> Block {
  var sums = Block();
  let row_a = min(first + lane % ROWS * step, last);
  let row_b = min(first + (4u + lane % ROWS) * step, last);
  for (var c = 0u; c < params.vectors; c++) {
    let a = load(own, row_a, c);
    var b = a;
    if (SG == 4u) { b = load(own, row_b, c); }
    let w = mat4x4f(load(other, rows.x, c), load(other, rows.y, c), load(other, rows.z, c), load(other, rows.w, c));
    sums = multiply_add(sums, a, b, transpose(w));
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

// Lane's part of 8 rows of a head: vectors lane + SG n.
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
  return Block(g0, g1);
}

// sums + weights w, with rows of w as columns.
fn add_weighted(sums: Block, weights: Block, w: mat4x4f) -> Block {
  return Block(sums.g0 + w * weights.g0, sums.g1 + w * weights.g1);
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
fn rescaled_block(rows: Block, factors: mat2x4f) -> Block {
  let g0 = rescaled(rows.g0, factors[0]);
  let g1 = rescaled(rows.g1, factors[1]);
  return Block(g0, g1);
}

// The rows of a block. Indexed by a loop, they cost one store in the code instead of 8: drivers that expand every
// access compile the kernel in a fraction of the time.
fn rows_of(rows: Block) -> array<vec4f, ROWS> {
  return array<vec4f, ROWS>(
    rows.g0[0], rows.g0[1], rows.g0[2], rows.g0[3], rows.g1[0], rows.g1[1], rows.g1[2], rows.g1[3]
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
fn store_rows(sums: Rows, factors: mat2x4f, row: u32, step: u32, count: u32, lane: u32) {
  store_block(rescaled_block(sums.b0, factors), row, step, count, lane);
  if (PASSES > 1u) { store_block(rescaled_block(sums.b1, factors), row, step, count, lane + SG); }
  if (PASSES > 2u) { store_block(rescaled_block(sums.b2, factors), row, step, count, lane + 2u * SG); }
  if (PASSES > 3u) { store_block(rescaled_block(sums.b3, factors), row, step, count, lane + 3u * SG); }
}
