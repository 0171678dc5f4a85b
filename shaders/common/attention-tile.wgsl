// Register and workgroup tiles of 8x8 invocations, each owning 4 of 32 rows. Needs common/attention.wgsl and functions
// load(source, row, column) -> vec4f and put(output, index, value), with rows counted in heads.
const BLOCK: u32 = 32u;               // rows of a tile, and owned rows of a workgroup
const WIDTH: u32 = min(DV, 16u);      // vectors of a head that are staged at a time: at most 8 KB
const HALVES: u32 = select(2u, 1u, DV <= 8u); // of a staged row, eight vectors each

// Row x + 8 c of the tile at [c][x], so that an invocation that reads four rows computes, and bounds, one place. Vector
// 8 h + i of it at [h][i ^ x], so that no two of eight rows have theirs in the same bank.
var<workgroup> tile: array<array<array<array<vec4f, 8>, HALVES>, 8>, 4>;
// What the eight invocations (*, y) tell each other, at [c][x][y ^ x]: a weight of row x + 8 c of the tile, or x + 4 + 8 c, and
// the four rows of those invocations. Half of the weights at a time, for 10 KB in all: a GPU then holds enough workgroups to
// hide what memory takes.
var<workgroup> shared_vectors: array<array<array<vec4f, 8>, 4>, 4>;

// Four owned rows by vectors x and x + 8 of one staged chunk; column i of a matrix is row i.
struct Columns { low: mat4x4f, high: mat4x4f }

// Vectors in a chunk of the head.
fn chunk_width(chunk: u32) -> u32 {
  return min(WIDTH, params.vectors - chunk * WIDTH);
}

// Stages one chunk of rows rows.x, rows.x + step, ... of a source, of which rows.y is the last; past it, it repeats.
fn stage(source: u32, rows: vec2u, step: u32, chunk: u32, lane: u32) {
  for (var i = lane; i < BLOCK * WIDTH; i += 64u) {
    let column = i % WIDTH;
    if (column < chunk_width(chunk)) {
      let row = min(rows.x + i / WIDTH * step, rows.y);
      let place = i / WIDTH;
      let x = place & 7u;
      tile[place / 8u][x][column / 8u][(column & 7u) ^ x] = load(source, row, chunk * WIDTH + column);
    }
  }
}

// Inner products over vector `column` of the chunk: of owned row i (column i of `own`) and row x + 8 c of the tile,
// in component i of column c.
fn dots(own: mat4x4f, column: u32, x: u32) -> mat4x4f {
  let half = column / 8u;
  let at = (column & 7u) ^ x;
  return transpose(own) * mat4x4f(tile[0][x][half][at], tile[1][x][half][at], tile[2][x][half][at], tile[3][x][half][at]);
}

// Inner products of four owned rows of a source and rows x + 8 c of the tile over one chunk, laid out as by dots.
fn products(source: u32, own: vec4u, chunk: u32, x: u32) -> mat4x4f {
  var sums = mat4x4f();
  for (var c = 0u; c < chunk_width(chunk); c++) {
    let at = chunk * WIDTH + c;
    let rows = mat4x4f(load(source, own.x, at), load(source, own.y, at), load(source, own.z, at), load(source, own.w, at));
    sums += dots(rows, c, x);
  }
  return sums;
}

// Publishes the weights of rows x + 8 c of the tile, x from `first` to first + 3.
fn share(w: mat4x4f, first: u32, id: vec3u) {
  if (id.x / 4u != first / 4u) { return; }
  let i = id.x & 3u;
  let at = id.y ^ i;
  shared_vectors[0][i][at] = w[0];
  shared_vectors[1][i][at] = w[1];
  shared_vectors[2][i][at] = w[2];
  shared_vectors[3][i][at] = w[3];
}

fn outer(w: vec4f, row: vec4f) -> mat4x4f {
  return mat4x4f(w.x * row, w.y * row, w.z * row, w.w * row);
}

// sums + w^T tile, w being each invocation's weights of rows x + 8 c. Of fewer rows than the tile has, `count`, those behind
// have the weight 0. What was shared before must have been read, and the tile be staged once a barrier was passed.
fn accumulate(sums: Columns, w: mat4x4f, count: u32, id: vec3u) -> Columns {
  var result = sums;
  for (var first = 0u; first < min(count, 8u); first += 4u) {
    if (first > 0u) { workgroupBarrier(); } // the first half may still be read
    share(w, first, id);
    workgroupBarrier();
    for (var i = 0u; i < 4u; i++) {
      let y = id.y ^ i;
      let row = first + i;
      let x = id.x ^ row;
      add_row(&result, shared_vectors[0][i][y], tile[0][row][0][x], tile[0][row][HALVES - 1u][x]);
      add_row(&result, shared_vectors[1][i][y], tile[1][row][0][x], tile[1][row][HALVES - 1u][x]);
      add_row(&result, shared_vectors[2][i][y], tile[2][row][0][x], tile[2][row][HALVES - 1u][x]);
      add_row(&result, shared_vectors[3][i][y], tile[3][row][0][x], tile[3][row][HALVES - 1u][x]);
    }
  }
  return result;
}

// Where a head is narrow, spare invocations add what nobody stores.
fn add_row(sums: ptr<function, Columns>, w: vec4f, low: vec4f, high: vec4f) {
  (*sums).low += outer(w, low);
  if (HALVES > 1u) { (*sums).high += outer(w, high); }
}

fn rescaled(rows: mat4x4f, factors: vec4f) -> mat4x4f {
  return mat4x4f(factors.x * rows[0], factors.y * rows[1], factors.z * rows[2], factors.w * rows[3]);
}

fn store(output: u32, row: u32, column: u32, value: vec4f) {
  let i = row * HEAD_DIM + 4u * column;
  put(output, i, value.x);
  if (4u * column + 1u < HEAD_DIM) { put(output, i + 1u, value.y); }
  if (4u * column + 2u < HEAD_DIM) { put(output, i + 2u, value.z); }
  if (4u * column + 3u < HEAD_DIM) { put(output, i + 3u, value.w); }
}

// In a loop: drivers that expand every access compile one store in a fraction of the time of four.
fn store_rows(output: u32, row: u32, step: u32, count: u32, values: mat4x4f, column: u32) {
  var rows = array<vec4f, 4>(values[0], values[1], values[2], values[3]);
  for (var i = 0u; i < count; i++) {
    store(output, row + i * step, column, rows[i]);
  }
}

// Writes one chunk of `count` rows row, row + step, ..., each times its factor.
fn store_columns(output: u32, row: u32, step: u32, count: u32, sums: Columns, factors: vec4f, chunk: u32, x: u32) {
  let base = chunk * WIDTH;
  if (x < chunk_width(chunk)) { store_rows(output, row, step, count, rescaled(sums.low, factors), base + x); }
  if (x + 8u < chunk_width(chunk)) { store_rows(output, row, step, count, rescaled(sums.high, factors), base + x + 8u); }
}
