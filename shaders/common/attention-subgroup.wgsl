// Tiles of one subgroup: 16 owned rows, and two rows of the other side a lane. Needs common/attention.wgsl,
// common/outer-product.wgsl, functions load(source, row, column) -> vec4f and put(output, index, value). Lanes load the owned
// rows together and broadcast them: no workgroup memory, no barrier. Loads are what CPU rasterisers pay for: a row of the other
// side is loaded once for all owned rows. Loops have bounds of which the compiler knows no limit (so from `first` to `end`, not
// to min(count, 8)), so that nothing unrolls them: CPU drivers take 60 ms to compile each load of a vector (llvmpipe, LLVM 15).
const SG: u32 = 8u;                      // lanes of a subgroup: 4, 8 or 16
const ROWS: u32 = 16u;
const OTHERS: u32 = 2u * SG;             // rows of the other side in one step; lane's are lane + SG c
const PASSES: u32 = (DV + SG - 1u) / SG; // of SG vectors over a head, at most 4

// One number for each owned row: row 4 g + i is component i of column g.
alias PerRow = mat4x4f;

// Numbers for each owned row and each of the lane's two rows of the other side.
struct Scores { c0: PerRow, c1: PerRow }

// Vector lane of a pass for each owned row: column i of matrix g is row 4 g + i.
struct Pass { g0: mat4x4f, g1: mat4x4f, g2: mat4x4f, g3: mat4x4f }

// Vectors lane + SG n of the owned rows.
struct Rows { b0: Pass, b1: Pass, b2: Pass, b3: Pass }

// Numbers of all owned rows from the lanes that loaded them: component g of a lane is of row SG (4 g / SG) + lane, and
// component 4 g / SG has rows 4 g .. 4 g + 3 in lanes 4 g % SG and the following.
fn per_row(x: vec4f) -> PerRow {
  return PerRow(
    from_lanes(x[0], 0u), from_lanes(x[4u / SG], 4u % SG), from_lanes(x[8u / SG], 8u % SG), from_lanes(x[12u / SG], 12u % SG)
  );
}

// From where and to where the owned rows see the other side, as f32, which has each place that fits in memory.
struct Seen16 { first: PerRow, end: PerRow }

fn of_all(seen: Seen) -> Seen16 {
  return Seen16(per_row(vec4f(seen.first)), per_row(vec4f(seen.end)));
}

// Whether four owned rows see a row of the other side.
fn hold(first: vec4f, end: vec4f, other: f32) -> vec4<bool> {
  return (first <= vec4f(other)) & (vec4f(other) < end);
}

// The owned rows that this lane loads: as many as it takes all lanes to have each row; see per_row.
fn loaded_rows(lane: u32) -> vec4u {
  return lane % ROWS + SG * vec4u(0u, 1u, 2u, 3u);
}

// Inner products of the owned rows of a source with this lane's two rows of another.
fn products(own: u32, own_rows: vec4u, other: u32, rows: vec2u) -> Scores {
  var c0 = PerRow();
  var c1 = PerRow();
  for (var d = 0u; d < params.vectors; d++) {
    var a = mat4x4f();
    a[0] = load(own, own_rows.x, d);
    if (SG < 16u) { a[1] = load(own, own_rows.y, d); }
    if (SG < 8u) {
      a[2] = load(own, own_rows.z, d);
      a[3] = load(own, own_rows.w, d);
    }
    let w0 = load(other, rows.x, d);
    let w1 = load(other, rows.y, d);
    let columns = transpose(a);
    let x = per_row(columns[0]);
    let y = per_row(columns[1]);
    let z = per_row(columns[2]);
    let w = per_row(columns[3]);
    c0 += w0.x * x + w0.y * y + w0.z * z + w0.w * w;
    c1 += w1.x * x + w1.y * y + w1.z * z + w1.w * w;
  }
  return Scores(c0, c1);
}

fn add_outer(sums: Pass, w: PerRow, row: vec4f) -> Pass {
  let g0 = sums.g0 + outer(w[0], row);
  let g1 = sums.g1 + outer(w[1], row);
  let g2 = sums.g2 + outer(w[2], row);
  let g3 = sums.g3 + outer(w[3], row);
  return Pass(g0, g1, g2, g3);
}

// What another lane has for each owned row.
fn from_lane(lane: u32, x: PerRow) -> PerRow {
  return PerRow(
    subgroupShuffle(x[0], lane), subgroupShuffle(x[1], lane), subgroupShuffle(x[2], lane), subgroupShuffle(x[3], lane)
  );
}

// Vector `lane` of a pass; where a head is narrow, spare lanes repeat its last vector.
fn load_pass(source: u32, row: u32, pass_index: u32, lane: u32) -> vec4f {
  return load(source, row, min(pass_index * SG + lane, DV - 1u));
}

// sums + weights times the rows first .. end - 1 of a source, row i being row `base` + i `step` there.
fn accumulate(sums: Rows, weights: Scores, source: u32, base: u32, step: u32, first: u32, end: u32, lane: u32) -> Rows {
  var b0 = sums.b0;
  var b1 = sums.b1;
  var b2 = sums.b2;
  var b3 = sums.b3;
  for (var i = first; i < end; i++) {
    let at = base + i * step;
    let x = from_lane((i - first) % SG, choose(weights.c0, weights.c1, i - first >= SG));
    b0 = add_outer(b0, x, load_pass(source, at, 0u, lane));
    if (PASSES > 1u) { b1 = add_outer(b1, x, load_pass(source, at, 1u, lane)); }
    if (PASSES > 2u) { b2 = add_outer(b2, x, load_pass(source, at, 2u, lane)); }
    if (PASSES > 3u) { b3 = add_outer(b3, x, load_pass(source, at, 3u, lane)); }
  }
  return Rows(b0, b1, b2, b3);
}

fn rescaled(rows: mat4x4f, factors: vec4f) -> mat4x4f {
  return mat4x4f(factors.x * rows[0], factors.y * rows[1], factors.z * rows[2], factors.w * rows[3]);
}

fn rescaled_pass(rows: Pass, factors: PerRow) -> Pass {
  let g0 = rescaled(rows.g0, factors[0]);
  let g1 = rescaled(rows.g1, factors[1]);
  let g2 = rescaled(rows.g2, factors[2]);
  let g3 = rescaled(rows.g3, factors[3]);
  return Pass(g0, g1, g2, g3);
}

fn rescaled_rows(rows: Rows, factors: PerRow) -> Rows {
  var b1 = rows.b1;
  var b2 = rows.b2;
  var b3 = rows.b3;
  let b0 = rescaled_pass(rows.b0, factors);
  if (PASSES > 1u) { b1 = rescaled_pass(b1, factors); }
  if (PASSES > 2u) { b2 = rescaled_pass(b2, factors); }
  if (PASSES > 3u) { b3 = rescaled_pass(b3, factors); }
  return Rows(b0, b1, b2, b3);
}

fn store_pass(output: u32, sums: Pass, base: u32, step: u32, first: u32, end: u32, column: u32) {
  if (column >= DV) { return; }
  var rows = array<vec4f, ROWS>(
    sums.g0[0], sums.g0[1], sums.g0[2], sums.g0[3], sums.g1[0], sums.g1[1], sums.g1[2], sums.g1[3],
    sums.g2[0], sums.g2[1], sums.g2[2], sums.g2[3], sums.g3[0], sums.g3[1], sums.g3[2], sums.g3[3]
  );
  for (var i = first; i < end; i++) {
    put(output, (base + i * step) * DV + column, rows[i - first]);
  }
}

// Writes the owned rows first .. end - 1; row i goes to row `base` + i `step` of the output.
fn store_rows(output: u32, sums: Rows, base: u32, step: u32, first: u32, end: u32, lane: u32) {
  store_pass(output, sums.b0, base, step, first, end, lane);
  if (PASSES > 1u) { store_pass(output, sums.b1, base, step, first, end, lane + SG); }
  if (PASSES > 2u) { store_pass(output, sums.b2, base, step, first, end, lane + 2u * SG); }
  if (PASSES > 3u) { store_pass(output, sums.b3, base, step, first, end, lane + 3u * SG); }
}
