// Tiles of one subgroup: 8 owned rows, and four rows of the other side a lane. Needs common/attention.wgsl, functions
// load(source, row, column) -> vec4f and put(output, index, value). Lanes load the owned rows together and broadcast them: no
// workgroup memory, no barrier. Loops have bounds of which the compiler knows no limit (so from `first` to `end`, not to
// min(count, 8)), so that nothing unrolls them: CPU drivers take 60 ms to compile each load of a vector (llvmpipe, LLVM
// 15), and 16 owned rows would take them more than twice as long as 8.
const SG: u32 = 8u;                      // lanes of a subgroup: 4, 8 or 16
const ROWS: u32 = 8u;
const OTHERS: u32 = 4u * SG;             // rows of the other side in one step; lane's are lane + SG c
const PASSES: u32 = (DV + SG - 1u) / SG; // of SG vectors over a head, at most 4

// One number for each owned row: row 4 g + i is component i of column g.
alias PerRow = mat2x4f;

// Numbers for each owned row and each of the lane's four rows of the other side.
struct Scores { c0: PerRow, c1: PerRow, c2: PerRow, c3: PerRow }

// Vector lane of a pass for each owned row: column i of matrix g is row 4 g + i.
struct Pass { g0: mat4x4f, g1: mat4x4f }

// Vectors lane + SG n of the owned rows.
struct Rows { b0: Pass, b1: Pass, b2: Pass, b3: Pass }

// Numbers of all owned rows from the lanes that loaded them: lane l loads row l % 8, and row l + 4 where a subgroup has
// 4 lanes; x and y are of groups 0 and 1.
fn per_row(x: f32, y: f32) -> PerRow {
  return PerRow(
    subgroupBroadcast(x, 0u), subgroupBroadcast(x, 1u), subgroupBroadcast(x, 2u), subgroupBroadcast(x, 3u),
    subgroupBroadcast(y, 4u % SG), subgroupBroadcast(y, 5u % SG), subgroupBroadcast(y, 6u % SG), subgroupBroadcast(y, 7u % SG)
  );
}

// The owned rows that this lane loads, one for each group: see per_row.
fn loaded_rows(lane: u32) -> vec2u {
  return lane % ROWS + vec2u(0u, 4u) / SG * SG;
}

// 1 for the first n owned rows, else 0.
fn first_rows(n: u32) -> PerRow {
  let rows = vec4u(0u, 1u, 2u, 3u);
  let one = vec4f(1.0);
  return PerRow(select(vec4f(), one, rows < vec4u(n)), select(vec4f(), one, rows + 4u < vec4u(n)));
}

// Inner products of the owned rows of a source with this lane's four rows of another.
fn products(own: u32, own_rows: vec2u, other: u32, rows: vec4u) -> Scores {
  var c0 = PerRow();
  var c1 = PerRow();
  var c2 = PerRow();
  var c3 = PerRow();
  for (var d = 0u; d < params.vectors; d++) {
    let a0 = load(own, own_rows.x, d);
    var a1 = a0;
    if (SG < 8u) { a1 = load(own, own_rows.y, d); }
    let w0 = load(other, rows.x, d);
    let w1 = load(other, rows.y, d);
    let w2 = load(other, rows.z, d);
    let w3 = load(other, rows.w, d);
    let x = per_row(a0.x, a1.x);
    let y = per_row(a0.y, a1.y);
    let z = per_row(a0.z, a1.z);
    let w = per_row(a0.w, a1.w);
    c0 += w0.x * x + w0.y * y + w0.z * z + w0.w * w;
    c1 += w1.x * x + w1.y * y + w1.z * z + w1.w * w;
    c2 += w2.x * x + w2.y * y + w2.z * z + w2.w * w;
    c3 += w3.x * x + w3.y * y + w3.z * z + w3.w * w;
  }
  return Scores(c0, c1, c2, c3);
}

fn outer(w: vec4f, row: vec4f) -> mat4x4f {
  return mat4x4f(w.x * row, w.y * row, w.z * row, w.w * row);
}

fn add_outer(sums: Pass, w: PerRow, row: vec4f) -> Pass {
  let g0 = sums.g0 + outer(w[0], row);
  let g1 = sums.g1 + outer(w[1], row);
  return Pass(g0, g1);
}

// What another lane has for each owned row.
fn from_lane(lane: u32, x: PerRow) -> PerRow {
  return PerRow(subgroupShuffle(x[0], lane), subgroupShuffle(x[1], lane));
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
  var w = weights;
  for (var j = first; j < end; j += SG) {
    let stop = min(j + SG, end);
    for (var i = j; i < stop; i++) {
      let at = base + i * step;
      let x = from_lane(i - j, w.c0);
      b0 = add_outer(b0, x, load_pass(source, at, 0u, lane));
      if (PASSES > 1u) { b1 = add_outer(b1, x, load_pass(source, at, 1u, lane)); }
      if (PASSES > 2u) { b2 = add_outer(b2, x, load_pass(source, at, 2u, lane)); }
      if (PASSES > 3u) { b3 = add_outer(b3, x, load_pass(source, at, 3u, lane)); }
    }
    w = Scores(w.c1, w.c2, w.c3, w.c0);
  }
  return Rows(b0, b1, b2, b3);
}

fn rescaled(rows: mat4x4f, factors: vec4f) -> mat4x4f {
  return mat4x4f(factors.x * rows[0], factors.y * rows[1], factors.z * rows[2], factors.w * rows[3]);
}

fn rescaled_pass(rows: Pass, factors: PerRow) -> Pass {
  let g0 = rescaled(rows.g0, factors[0]);
  let g1 = rescaled(rows.g1, factors[1]);
  return Pass(g0, g1);
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
    sums.g0[0], sums.g0[1], sums.g0[2], sums.g0[3], sums.g1[0], sums.g1[1], sums.g1[2], sums.g1[3]
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
