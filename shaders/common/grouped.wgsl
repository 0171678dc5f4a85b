// What the grouped products share: their sizes and operands, and which choices and which expert a tile of rows has.
struct Params {
  n: u32, k: u32,          // columns of C, and steps of the sum
  choices: u32,            // rows of C
  per: u32,                // choices that read the same row of A
  experts: u32,            // of all
  first: u32, last: u32,   // experts first .. last - 1 are bound
  b_first: u32             // values of the weight before what is bound of B
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;         // a matrix for each expert, where FORMAT is f32
@group(0) @binding(3) var<storage, read> b_packed: array<packed>; // as words else; the same buffer
@group(0) @binding(4) var<storage, read_write> c: array<f32>;     // [choices, n]
@group(0) @binding(5) var<storage, read> sorted: array<u32>;      // [experts + choices]: where each expert's end, then the choices
@group(0) @binding(6) var<storage, read> bias: array<f32>;        // [experts, n], where there is one
@group(0) @binding(7) var<storage, read> scales: array<u32>;      // of B's blocks
@group(0) @binding(8) var<storage, read> zeros: array<u32>;

const B_TRANSPOSED: bool = true; // experts' matrices are stored [n, k]
const BIASED: bool = false;

// Rows of one expert: first .. end - 1 of the sorted choices; none where first is end.
struct Tile { expert: u32, first: u32, end: u32 }

// Tile `index` of those of all experts, each of which has as many as its choices fill; there may be more tiles than that.
fn tile_at(index: u32, rows: u32) -> Tile {
  var start = 0u;
  var left = index;
  for (var e = 0u; e < params.experts; e++) {
    let end = sorted[e];
    let tiles = (end - start + rows - 1u) / rows;
    if (left < tiles) {
      let first = start + left * rows;
      let is_bound = e >= params.first && e < params.last;
      return Tile(e, first, select(first, min(first + rows, end), is_bound));
    }
    left -= tiles;
    start = end;
  }
  return Tile(0u, 0u, 0u);
}

// The choice at a row of a tile; past the tile's end its last one.
fn choice_at(tile: Tile, row: u32) -> u32 {
  return sorted[params.experts + min(tile.first + row, tile.end - 1u)];
}

// Where the matrix of an expert begins.
fn matrix_of(expert: u32) -> u32 {
  return (expert - params.first) * params.n * params.k;
}

// Columns col .. col + 3, of which those past the end repeat the last one.
fn four_columns(col: u32) -> vec4u {
  return min(col + vec4u(0u, 1u, 2u, 3u), vec4u(params.n - 1u));
}

fn put_four(choice: u32, expert: u32, col: u32, values: vec4f) {
  for (var i = 0u; i < 4u; i++) {
    if (col + i >= params.n) { return; }
    var sum = values[i];
    if (BIASED) { sum += bias[expert * params.n + col + i]; }
    c[choice * params.n + col + i] = sum;
  }
}
