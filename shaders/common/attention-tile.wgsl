// Register and workgroup tiles of 8x8 invocations, each owning 4 of 32 rows. Needs common/attention.wgsl and functions
// load(source, row, column) -> vec4f and put(output, index, value), with rows counted in heads.
const BLOCK: u32 = 32u;               // rows of a tile, and owned rows of a workgroup
const WIDTH: u32 = min(DV, 16u);      // vectors of a head that are staged at a time: at most 8 KB
const STRIDE: u32 = WIDTH + 1u;       // odd for the usual widths, so that eight rows lie in different banks

// Row x + 8 c of the tile at [c][x], so that an invocation that reads four rows computes, and bounds, one place.
var<workgroup> tile: array<array<array<vec4f, STRIDE>, 8>, 4>;
// Weight [c][x][y] belongs to row x + 8 c of the tile and the four rows of the invocations (*, y).
var<workgroup> weights: array<array<array<vec4f, 9>, 8>, 4>;

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
      tile[place / 8u][place % 8u][column] = load(source, row, chunk * WIDTH + column);
    }
  }
}

// Inner products over vector `column` of the chunk: of owned row i (column i of `own`) and row x + 8 c of the tile,
// in component i of column c.
fn dots(own: mat4x4f, column: u32, x: u32) -> mat4x4f {
  return transpose(own) * mat4x4f(tile[0][x][column], tile[1][x][column], tile[2][x][column], tile[3][x][column]);
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

// Publishes the weights of rows x + 8 c of the tile.
fn share(w: mat4x4f, id: vec3u) {
  weights[0][id.x][id.y] = w[0];
  weights[1][id.x][id.y] = w[1];
  weights[2][id.x][id.y] = w[2];
  weights[3][id.x][id.y] = w[3];
}

fn outer(w: vec4f, row: vec4f) -> mat4x4f {
  return mat4x4f(w.x * row, w.y * row, w.z * row, w.w * row);
}

// sums + weights^T tile. Of fewer rows than the tile has, `count`, those behind have the weight 0.
fn accumulate(sums: Columns, count: u32, id: vec3u) -> Columns {
  var result = sums;
  let x = min(id.x, WIDTH - 1u); // where a head is narrow, spare invocations repeat its last vector
  for (var i = 0u; i < min(count, 8u); i++) {
    add_row(&result, 0u, i, x, id.y);
    add_row(&result, 1u, i, x, id.y);
    add_row(&result, 2u, i, x, id.y);
    add_row(&result, 3u, i, x, id.y);
  }
  return result;
}

fn add_row(sums: ptr<function, Columns>, c: u32, i: u32, x: u32, y: u32) {
  let w = weights[c][i][y];
  (*sums).low += outer(w, tile[c][i][x]);
  if (WIDTH > 8u) { (*sums).high += outer(w, tile[c][i][min(x + 8u, WIDTH - 1u)]); }
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
