// Blocks of ROWS x COLS whose sums 256 invocations share; needs these constants. An invocation owns 4x4 of the block for one
// of GROUPS parts of the sum, so that small blocks, of which there are few, still have many at work on each.
const LANES: u32 = ROWS * COLS / 16u; // invocations that a block takes once
const GROUPS: u32 = 256u / LANES;

// What an invocation owns: rows 4 row .. 4 row + 3 of the block and columns likewise, and which part of the sum.
struct Place { row: u32, col: u32, part: u32 }

fn place_of(lane: u32) -> Place {
  let own = lane % LANES;
  return Place(own / (COLS / 4u), own % (COLS / 4u), lane / LANES);
}

// Where an operand's vectors lie for one invocation: at `first` for four steps of the sum, `each` further for the next four.
struct Walk { first: vec4u, each: u32 }

// @param along the operand is stored with the steps of the sum in its rows, of which an invocation reads four side by side;
// else a step is a row. What lies past the edge repeats the last row, or the last four columns.
fn walk(offset: u32, own: u32, end: u32, length: u32, along: bool) -> Walk {
  let four = vec4u(0u, 1u, 2u, 3u);
  if (along) { return Walk((offset + min(own + four, vec4u(end - 1u)) * length) / 4u, 1u); }
  return Walk((offset + four * length + min(own, end - 4u)) / 4u, length);
}

fn step_of(operand: Walk, quad: u32) -> vec4u { return operand.first + quad * operand.each; }

// By how many the steps of a quad are past the end of a sum; the last one is read in their place.
fn excess_of(quad: u32, end: u32) -> vec4u {
  let steps = 4u * quad + vec4u(1u, 2u, 3u, 4u);
  return max(steps, vec4u(end)) - end;
}

fn last_of(operand: Walk, excess: vec4u) -> vec4u { return excess * (operand.each / 4u); }

// Column i of the result: row i, four columns of C wide.
fn outer_of(rows: vec4f, cols: vec4f) -> mat4x4f {
  return mat4x4f(rows.x * cols, rows.y * cols, rows.z * cols, rows.w * cols);
}

// Adds four steps to the sum. Operands that lie along the steps have a row or column of C in each vector, the others a step.
fn add_product(sum: mat4x4f, a: mat4x4f, b: mat4x4f, a_along: bool, b_along: bool) -> mat4x4f {
  var left = a;
  var right = b;
  if (a_along) { left = transpose(a); }
  if (b_along) { right = transpose(b); }
  var all = sum; // each step added by itself, so that it becomes multiply-adds
  all += outer_of(left[0], right[0]);
  all += outer_of(left[1], right[1]);
  all += outer_of(left[2], right[2]);
  all += outer_of(left[3], right[3]);
  return all;
}

// The steps that are there, zero in place of the others.
fn only(steps: mat4x4f, there: vec4<bool>) -> mat4x4f {
  let factor = select(vec4f(), vec4f(1.0), there);
  return mat4x4f(factor.x * steps[0], factor.y * steps[1], factor.z * steps[2], factor.w * steps[3]);
}

var<workgroup> sums: array<array<vec4f, ROWS * COLS / 4u>, GROUPS>;

fn keep(place: Place, sum: mat4x4f) {
  let at = place.row * COLS + place.col;
  sums[place.part][at] = sum[0];
  sums[place.part][at + COLS / 4u] = sum[1];
  sums[place.part][at + COLS / 2u] = sum[2];
  sums[place.part][at + COLS / 4u * 3u] = sum[3];
}

// Four columns of a row of the block, vector i in the order of its rows.
fn total(i: u32) -> vec4f {
  var all = sums[0][i];
  for (var part = 1u; part < GROUPS; part++) { all += sums[part][i]; }
  return all;
}
