// Products of rows on matrix units, by way of workgroup memory. Needs common/attention-fragments.wgsl, an array `halves` of
// HALVES units in workgroup memory, and a function put_value(output, index, value).
alias Left = subgroup_matrix_left<unit, FK, FM>;
alias Right = subgroup_matrix_right<unit, FN, FK>;
alias Result = subgroup_matrix_result<f32, FN, FM>;
alias Sums = array<Result, COLS>;
alias Block = array<cell, 4>; // four vectors below each other, as they are stored
alias Vectors = array<vec4f, 4>;

var<workgroup> products: array<f32, OWN * WIDTH>;

// Of an invocation: its subgroup, the row of products that it works on, and the first of its columns.
struct Place { subgroup: u32, row: u32, part: u32 }

fn own_place(lane: u32) -> Place {
  let subgroup = lane / LANES;
  return Place(subgroup, subgroup * FM + lane % LANES / PARTS, lane % PARTS * PART);
}

// Row and vector of block i of what is staged.
fn place_of(i: u32) -> vec2u { return vec2u(i / DV * 4u, i % DV); }

// Four values from a multiple of four on, whose bounds are checked at once.
fn put(at: u32, values: vec4f) {
  let first = 4u * min(at / 4u, HALVES / 4u - 1u);
  halves[first] = unit(values.x);
  halves[first + 1u] = unit(values.y);
  halves[first + 2u] = unit(values.z);
  halves[first + 3u] = unit(values.w);
}

fn vectors(block: Block, factor: f32) -> Vectors {
  return Vectors(factor * vec4f(block[0]), factor * vec4f(block[1]), factor * vec4f(block[2]), factor * vec4f(block[3]));
}

// Row by row.
fn put_rows(base: u32, at: vec2u, block: Vectors) {
  let first = base + at.x * ALONG + 4u * at.y;
  put(first, block[0]);
  put(first + ALONG, block[1]);
  put(first + 2u * ALONG, block[2]);
  put(first + 3u * ALONG, block[3]);
}

// Column by column.
fn put_columns(base: u32, at: vec2u, block: Vectors) {
  let columns = transpose(mat4x4f(block[0], block[1], block[2], block[3]));
  let first = base + 4u * at.y * ACROSS + at.x;
  put(first, columns[0]);
  put(first + ACROSS, columns[1]);
  put(first + 2u * ACROSS, columns[2]);
  put(first + 3u * ACROSS, columns[3]);
}

// Inner products of the subgroup's rows at `own` with the rows at `other`, to `products`.
fn multiply_rows(subgroup: u32, own: u32, other: u32) {
  var sums: array<Result, GROUP>;
  for (var step = 0u; step < HEAD_DIM; step += FK) {
    let rows = subgroupMatrixLoad<Left, row_major>(&halves, own + subgroup * FM * ALONG + step, ALONG);
    for (var j = 0u; j < GROUP; j++) {
      let others = subgroupMatrixLoad<Right, col_major>(&halves, other + j * FN * ALONG + step, ALONG);
      sums[j] = subgroupMatrixMultiplyAccumulate(rows, others, sums[j]);
    }
  }
  for (var j = 0u; j < GROUP; j++) {
    subgroupMatrixStore<row_major>(&products, subgroup * FM * WIDTH + j * FN, sums[j], WIDTH);
  }
}

fn staged_products(row: u32, at: u32) -> vec4f {
  let i = 4u * min((row * WIDTH + at) / 4u, OWN * WIDTH / 4u - 1u);
  return vec4f(products[i], products[i + 1u], products[i + 2u], products[i + 3u]);
}

// sums + weights rows: weights of the subgroup's rows at `weights`, and the rows column by column at `columns`.
fn add_products(sums: ptr<function, Sums>, subgroup: u32, weights: u32, columns: u32) {
  for (var step = 0u; step < OTHERS; step += FK) {
    let own = subgroupMatrixLoad<Left, row_major>(&halves, weights + subgroup * FM * ACROSS + step, ACROSS);
    for (var j = 0u; j < COLS; j++) {
      let others = subgroupMatrixLoad<Right, col_major>(&halves, columns + j * FN * ACROSS + step, ACROSS);
      (*sums)[j] = subgroupMatrixMultiplyAccumulate(own, others, (*sums)[j]);
    }
  }
}

// Written out, as some compilers keep an array in memory where they unroll no loop with a barrier: as many fragments at a time
// as rows of products hold.
fn scale_sums(sums: ptr<function, Sums>, at: Place, factor: f32) {
  scale_some(sums, at, factor, 0u);
  if (COLS > GROUP) { scale_some(sums, at, factor, GROUP); }
  if (COLS > 2u * GROUP) { scale_some(sums, at, factor, 2u * GROUP); }
  if (COLS > 3u * GROUP) { scale_some(sums, at, factor, 3u * GROUP); }
  if (COLS > 4u * GROUP) { scale_some(sums, at, factor, 4u * GROUP); }
  if (COLS > 5u * GROUP) { scale_some(sums, at, factor, 5u * GROUP); }
  if (COLS > 6u * GROUP) { scale_some(sums, at, factor, 6u * GROUP); }
  if (COLS > 7u * GROUP) { scale_some(sums, at, factor, 7u * GROUP); }
}

// Fragments from `first` on go to workgroup memory.
fn show(sums: ptr<function, Sums>, subgroup: u32, first: u32) {
  for (var j = 0u; j < GROUP; j++) {
    if (first + j < COLS) {
      subgroupMatrixStore<row_major>(&products, subgroup * FM * WIDTH + j * FN, (*sums)[min(first + j, COLS - 1u)], WIDTH);
    }
  }
  workgroupBarrier();
}

// Multiplies rows by their invocations' factors.
fn scale_some(sums: ptr<function, Sums>, at: Place, factor: f32, first: u32) {
  show(sums, at.subgroup, first);
  for (var i = 0u; i < PART; i++) { products[at.row * WIDTH + at.part + i] *= factor; }
  workgroupBarrier();
  for (var j = 0u; j < GROUP; j++) {
    if (first + j < COLS) {
      (*sums)[min(first + j, COLS - 1u)] =
        subgroupMatrixLoad<Result, row_major>(&products, at.subgroup * FM * WIDTH + j * FN, WIDTH);
    }
  }
  workgroupBarrier();
}

// Writes the sums, times a factor, to a row of an output, counted in heads, where there is one.
fn write_sums(output: u32, sums: ptr<function, Sums>, at: Place, row: u32, exists: bool, factor: f32) {
  write_some(output, sums, at, row, exists, factor, 0u);
  if (COLS > GROUP) { write_some(output, sums, at, row, exists, factor, GROUP); }
  if (COLS > 2u * GROUP) { write_some(output, sums, at, row, exists, factor, 2u * GROUP); }
  if (COLS > 3u * GROUP) { write_some(output, sums, at, row, exists, factor, 3u * GROUP); }
  if (COLS > 4u * GROUP) { write_some(output, sums, at, row, exists, factor, 4u * GROUP); }
  if (COLS > 5u * GROUP) { write_some(output, sums, at, row, exists, factor, 5u * GROUP); }
  if (COLS > 6u * GROUP) { write_some(output, sums, at, row, exists, factor, 6u * GROUP); }
  if (COLS > 7u * GROUP) { write_some(output, sums, at, row, exists, factor, 7u * GROUP); }
}

fn write_some(output: u32, sums: ptr<function, Sums>, at: Place, row: u32, exists: bool, factor: f32, first: u32) {
  show(sums, at.subgroup, first);
  for (var i = 0u; i < PART; i++) {
    let column = first * FN + at.part + i;
    if (exists && column < HEAD_DIM) {
      put_value(output, row * HEAD_DIM + column, factor * products[at.row * WIDTH + at.part + i]);
    }
  }
  workgroupBarrier();
}
